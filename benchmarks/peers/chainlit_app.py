"""A chat with Chainlit as its documentation shows it: the history in its session, OpenAI's client, streamed tokens."""

import chainlit
from openai import AsyncOpenAI

client = AsyncOpenAI()


@chainlit.on_message
async def on_message(said: chainlit.Message) -> None:
    history = chainlit.user_session.get("history") or []
    history.append({"role": "user", "content": said.content})
    answer = chainlit.Message(content="")
    stream = await client.chat.completions.create(model="bench", messages=history, stream=True)
    async for chunk in stream:
        if chunk.choices and (token := chunk.choices[0].delta.content):
            await answer.stream_token(token)
    history.append({"role": "assistant", "content": answer.content})
    chainlit.user_session.set("history", history)
    await answer.update()
