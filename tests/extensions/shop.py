"""Flask-SQLAlchemy, Flask-Login and Flask-Migrate as in their documentation, over one SQLite.

Plain and `async def` views are mixed; each kind of thing is there in both colours.
"""

# mypy: ignore-errors

from __future__ import annotations

import os
import resource

from flask import Flask, abort, g, request, session
from flask_login import (
    LoginManager,
    UserMixin,
    current_user,
    login_required,
    login_user,
    logout_user,
)
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import func, select

from aioflask import run_sync

app = Flask(__name__)
app.config.update(
    SECRET_KEY="only for tests",
    SQLALCHEMY_DATABASE_URI=os.environ["DATABASE"],
    SQLALCHEMY_ENGINE_OPTIONS={"connect_args": {"timeout": 30}},
)
db = SQLAlchemy(app)
migrate = Migrate(app, db)
login_manager = LoginManager(app)
login_manager.login_view = "sign_in"
counts = {"begun": 0, "ended": 0, "sessions": 0}


class User(UserMixin, db.Model):
    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String(40), unique=True, nullable=False)


class Order(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    what = db.Column(db.String(40), nullable=False)
    user_id = db.Column(db.ForeignKey("user.id"), nullable=False)
    user = db.relationship(User)


@login_manager.user_loader
def load_user(user_id):
    return db.session.get(User, int(user_id))


@app.before_request
def begin():
    counts["begun"] += 1
    # A session that another request has left behind would have its objects.
    g.found = list(db.session.identity_map.values())
    if g.found:
        counts["sessions"] += 1


@app.teardown_request
def end(exc):
    counts["ended"] += 1


@app.cli.command("fill")
def fill():
    """Make the tables and fifty users."""
    db.create_all()
    db.session.add_all([User(name=f"user{number}") for number in range(50)])
    db.session.commit()


def find(name):
    user = db.session.scalar(select(User).where(User.name == name))
    return user or abort(403)


def add(what):
    order = Order(what=what, user=current_user._get_current_object())
    db.session.add(order)
    db.session.commit()
    return {"id": order.id, "what": order.what, "by": order.user.name}


# --- signing in ----------------------------------------------------------------------------------


@app.post("/sign-in")
def sign_in():
    user = find(request.form["name"])
    login_user(user, remember="remember" in request.form)
    return user.name


@app.post("/async/sign-in")
async def sign_in_async():
    user = await run_sync(find, request.form["name"])
    # Writes the session alone; the user is loaded already.
    login_user(user, remember="remember" in request.form)
    return user.name


@app.get("/me")
@login_required
def me():
    return {"name": current_user.name, "fresh": session.get("_fresh")}


@app.get("/async/me")
async def me_async():
    # The loader asks the database: on a thread.
    name = await run_sync(lambda: current_user.name if current_user.is_authenticated else None)
    if name is None:
        return login_manager.unauthorized()
    return {"name": current_user.name, "fresh": session.get("_fresh")}


@app.post("/sign-out")
def sign_out():
    logout_user()
    return ""


# --- orders --------------------------------------------------------------------------------------


@app.post("/orders")
@login_required
def order():
    return add(request.get_json()["what"])


@app.post("/async/orders")
@login_required
async def order_async():
    return await run_sync(add, request.get_json()["what"])


@app.get("/orders/<int:order_id>")
def show(order_id):
    order = db.get_or_404(Order, order_id)
    return {"what": order.what, "by": order.user.name}


@app.get("/async/orders/<int:order_id>")
async def show_async(order_id):
    order = await run_sync(db.get_or_404, Order, order_id)
    return {"what": order.what, "by": await run_sync(lambda: order.user.name)}


@app.post("/fail")
def fail():
    db.session.add(Order(what="lost", user_id=1))
    db.session.flush()
    raise RuntimeError("after the flush")


@app.post("/async/fail")
async def fail_async():
    db.session.add(Order(what="lost", user_id=1))
    await run_sync(db.session.flush)
    raise RuntimeError("after the flush")


@app.get("/state")
def state():
    pool = db.engine.pool
    rows = dict(db.session.execute(select(Order.what, func.count()).group_by(Order.what)).all())
    return {
        **counts,
        "orders": sum(rows.values()),
        "lost": rows.get("lost", 0),
        "pool": pool.size() + max(pool.overflow(), 0),
        "checked out": pool.checkedout(),
        "open sessions": len(db.session.registry.registry),
        "rss": int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize(),
    }
