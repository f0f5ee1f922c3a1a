"""Rows of questions that tests share."""

CONTEXT = "Anna lives in York, and Bob works in Leeds."
NONE = {"text": [], "answer_start": []}


def answer(text, context=CONTEXT):
    return {"text": [text], "answer_start": [context.index(text)]}


def row(answers, question="where does Anna live", context=CONTEXT):
    return {"question": question, "context": context, "answers": answers}
