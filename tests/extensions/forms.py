"""Flask-WTF: forms with a token and a file, in views of both colours."""

# mypy: ignore-errors

from __future__ import annotations

from flask import Flask, render_template_string, request, session
from flask_wtf import CSRFProtect, FlaskForm
from flask_wtf.csrf import CSRFError
from flask_wtf.file import FileAllowed, FileField, FileRequired
from wtforms import StringField
from wtforms.validators import DataRequired, Length

app = Flask(__name__)
app.secret_key = "only for tests"
seen = {"begun": 0, "ended": 0}


class NoteForm(FlaskForm):
    title = StringField(validators=[DataRequired(), Length(max=20)])
    picture = FileField(validators=[FileRequired(), FileAllowed(["txt"])])


PAGE = """\
<form method=post enctype=multipart/form-data>{{ form.hidden_tag() }}
{{ form.title }}{{ form.picture }}<button>Send</button></form>
<p id=errors>{{ form.errors }}</p>
"""


@app.before_request
def begin():
    seen["begun"] += 1


@app.teardown_request
def end(exc):
    seen["ended"] += 1


# Its check is a plain `before_request` hook, which reads `request.form`.
csrf = CSRFProtect(app)


def answer():
    form = NoteForm()
    if form.validate_on_submit():
        data = form.picture.data.read()
        return {
            "title": form.title.data,
            "file": form.picture.data.filename,
            "bytes": len(data),
            "sum": sum(data) % 256,
            "user": session.setdefault("user", request.form["title"]),
        }
    return render_template_string(PAGE, form=form)


@app.route("/plain", methods=["GET", "POST"])
def plain():
    return answer()


@app.route("/async", methods=["GET", "POST"])
async def asynchronous():
    return answer()


@app.post("/raw")
async def raw():
    return {"title": request.form["title"]}


@app.errorhandler(CSRFError)
async def refused(error):
    return {"refused": error.description}, 400


@app.get("/state")
def state():
    return seen
