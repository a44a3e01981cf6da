"""Flask-Security: registration, login, roles and a token, with Flask-SQLAlchemy under it."""

# mypy: ignore-errors

from __future__ import annotations

import os
import uuid

from flask import Flask
from flask_security import (
    Security,
    SQLAlchemyUserDatastore,
    auth_required,
    current_user,
    roles_required,
)
from flask_security.models import fsqla_v3
from flask_sqlalchemy import SQLAlchemy

from aioflask import run_sync

app = Flask(__name__)
app.config.update(
    SECRET_KEY="only for tests",
    SECURITY_PASSWORD_SALT="1",
    SECURITY_PASSWORD_HASH="plaintext",
    SECURITY_PASSWORD_SCHEMES=["plaintext"],
    SECURITY_REGISTERABLE=True,
    SECURITY_SEND_REGISTER_EMAIL=False,
    SECURITY_EMAIL_VALIDATOR_ARGS={"check_deliverability": False},
    WTF_CSRF_ENABLED=False,
    SQLALCHEMY_DATABASE_URI=os.environ["DATABASE"],
    SQLALCHEMY_ENGINE_OPTIONS={"connect_args": {"timeout": 30}},
)
db = SQLAlchemy(app)
fsqla_v3.FsModels.set_db_info(db)


class Role(db.Model, fsqla_v3.FsRoleMixin):
    pass


class User(db.Model, fsqla_v3.FsUserMixin):
    pass


datastore = SQLAlchemyUserDatastore(db, User, Role)
security = Security(app, datastore)


@app.cli.command("fill")
def fill():
    db.create_all()
    datastore.create_role(name="admin")
    datastore.create_user(
        email="admin@example.com", password="the password", roles=["admin"],
        fs_uniquifier=uuid.uuid4().hex,
    )  # fmt: skip
    db.session.commit()


@app.get("/me")
@auth_required("session", "token")
def me():
    return {"email": current_user.email}


@app.get("/async/me")
@auth_required("session", "token")
async def me_async():
    return {"email": await run_sync(lambda: current_user.email)}


@app.get("/admin")
@roles_required("admin")
def admin():
    return {"email": current_user.email}


@app.get("/state")
def state():
    pool = db.engine.pool
    return {"users": User.query.count(), "checked out": pool.checkedout() - 1}
