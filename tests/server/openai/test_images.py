"""Images that users show go to the model as they are, and come back as OpenAI's clients know them."""

from typing import Any

from tests.server.openai.harness import Office, office
from tests.store.harness import run

# A PNG of one red pixel.
IMAGE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
)
CHAT_PARTS = [
    {"type": "text", "text": "What is this?"},
    {"type": "image_url", "image_url": {"url": IMAGE, "detail": "low"}},
]


def asked(it: Office) -> Any:
    """The messages the model was asked last."""
    return it.upstream.seen[-1].body["messages"]


def test_a_response_shows_an_image_and_later_ones_still_do() -> None:
    async def main() -> None:
        async with office() as it:
            shown: Any = [
                {"type": "input_text", "text": "What is this?"},
                {"type": "input_image", "image_url": IMAGE, "detail": "low"},
            ]
            said: Any = [{"role": "user", "content": shown}]
            made = await it.client.responses.create(model="model", input=said)
            assert made.output_text == "You said: What is this? (1 messages)"
            assert asked(it) == [{"role": "user", "content": CHAT_PARTS}]
            kept = [item async for item in it.client.responses.input_items.list(made.id)]
            assert [part.to_dict() for part in kept[0].content] == shown
            await it.client.responses.create(model="model", input="And now?", previous_response_id=made.id)
            assert asked(it)[0] == {"role": "user", "content": CHAT_PARTS}
            assert asked(it)[2] == {"role": "user", "content": "And now?"}

    run(main())


def test_an_image_needs_no_words() -> None:
    async def main() -> None:
        async with office() as it:
            said: Any = [{"role": "user", "content": [{"type": "input_image", "image_url": IMAGE}]}]
            made = await it.client.responses.create(model="model", input=said)
            assert asked(it) == [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": IMAGE, "detail": "auto"}}]}
            ]
            (item,) = [item async for item in it.client.responses.input_items.list(made.id)]
            assert [part.type for part in item.content] == ["input_image"]

    run(main())


def test_chat_completions_show_images() -> None:
    async def main() -> None:
        async with office() as it:
            said: Any = [{"role": "user", "content": CHAT_PARTS}]
            made = await it.client.chat.completions.create(model="model", messages=said)
            assert made.choices[0].message.content == "You said: What is this? (1 messages)"
            assert asked(it) == said

    run(main())


def test_images_count_where_tokens_are_counted() -> None:
    async def main() -> None:
        async with office() as it:
            image: Any = {"role": "user", "content": [{"type": "input_image", "image_url": IMAGE}]}
            counted = await it.client.responses.input_tokens.count(model="model", input=[image])
            assert 1_000 <= counted.input_tokens < 1_100

    run(main())
