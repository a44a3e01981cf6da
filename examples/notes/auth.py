"""Who is it? A login that a signed session cookie remembers, for the page and for programs."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized
from werkzeug.security import check_password_hash, generate_password_hash

from aioflask import Blueprint, redirect, render_template, request, run_sync, session, url_for
from aioflask.typing import ResponseReturnValue

from .checks import check, line, text
from .models import User, open_db

auth = Blueprint("auth", __name__)
CREDENTIALS = {"name": line(100), "password": text(200)}
# Checked for a name that nobody has, so that the time of the answer does not tell who exists.
NOBODY = generate_password_hash("")


@auth.get("/login")
async def login_page() -> ResponseReturnValue:
    return render_template("login.html")


@auth.post("/login")
async def login_form() -> ResponseReturnValue:
    name = request.form.get("name", "")
    try:
        await login(name, request.form.get("password", ""))
    except Unauthorized as error:
        return render_template("login.html", name=name, error=error.description), 401
    return redirect(url_for("pages.index"), 303)


@auth.post("/logout")
async def logout_form() -> ResponseReturnValue:
    session.clear()
    return redirect(url_for("pages.index"), 303)


@auth.post("/api/session")
async def login_json() -> ResponseReturnValue:
    return {"user": await login(**check(request.get_json(), CREDENTIALS, required=CREDENTIALS))}


@auth.get("/api/session")
async def who() -> ResponseReturnValue:
    require_login()
    return {"user": session["user"]}


@auth.delete("/api/session")
async def logout_json() -> ResponseReturnValue:
    session.clear()
    return "", 204


async def login(name: str, password: str) -> str:
    """Begin a session for the user of this name and password, or raise 401."""
    async with open_db() as db:
        user = await db.scalar(select(User).filter_by(name=name))
    # A password's hash is slow on purpose: not on the event loop.
    right = await run_sync(check_password_hash, user.password if user else NOBODY, password)
    if user is None or not right:
        raise unauthorized("There is no such name with this password.")
    session.clear()
    session["user_id"], session["user"] = user.id, user.name
    return user.name


def require_login() -> None:
    """Raise 401 unless the request comes with a session that has logged in."""
    if "user_id" not in session:
        raise unauthorized("Log in first: POST name and password to /api/session.")


async def current_user(db: AsyncSession) -> User:
    """The user of the session, or 401 if the database has it no longer."""
    user = await db.get(User, session["user_id"])
    if user is None:
        session.clear()
        raise unauthorized("This user is no longer here.")
    return user


def unauthorized(why: str) -> Unauthorized:
    """A 401 with the challenge that RFC 9110, 15.5.2 asks for."""
    return Unauthorized(why, www_authenticate=WWWAuthenticate("cookie", {"realm": "notes"}))
