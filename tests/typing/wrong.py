"""What must not type: each line that ends with the mark is refused by mypy --strict and by pyright strict."""

from __future__ import annotations

from datetime import datetime

from unstuck import App, Backoff, Job

app = App("memory://")


@app.task
def plain(user_id: int, note: str = "") -> str:
    return f"{user_id} {note}"


@app.task(tries=3)
async def coloured(name: str) -> int:
    return len(name)


# Arguments are those of the function, wherever it is asked for.
plain("seven")  # expect-error
plain.enqueue("seven")  # expect-error
plain.enqueue()  # expect-error
plain.enqueue(7, colour="red")  # expect-error
plain.using(delay="5m").enqueue("seven")  # expect-error
plain.spec(None)  # expect-error
coloured.enqueue(7)  # expect-error

# Options never mix with arguments, and a task with options is not called.
plain.enqueue(7, delay="5m")  # expect-error
plain.using(delay="5m")(7)  # expect-error
plain.using(dealy="5m")  # expect-error
plain.using(delay=[5])  # expect-error
plain.using(at="tomorrow")  # expect-error
plain.using(priority="high")  # expect-error
plain.using(then=plain.enqueue(1))  # expect-error

# Declarations.
app.task(retries=3)  # expect-error
app.task(backoff="5s")  # expect-error
Backoff(never=("ValueError",))  # expect-error
App(7)  # expect-error

# Results are what the function returns.
number: int = plain.enqueue(7).result()  # expect-error
handle: Job[int] = plain.enqueue(7)  # expect-error
text: str = coloured.enqueue("a").result()  # expect-error
app.enqueue_many([plain.enqueue(1)])  # expect-error
app.enqueue_many(plain.spec("seven") for _ in range(3))  # expect-error
plain.enqueue(7).result(timeout=datetime(2026, 1, 1))  # expect-error


async def awaiting() -> None:
    wrong: int = await plain.aenqueue(7)  # expect-error
    length: str = await coloured("a")  # expect-error
    uncalled: int = coloured("a")  # expect-error
    await plain.enqueue(7)  # expect-error
    print(wrong, length, uncalled)
