"""`RemoteEngine`: a model behind HTTP. Goes to the network; keys come from the environment."""

from __future__ import annotations

from diffufix.engines.client import Client, Refused
from diffufix.engines.probe import FoundShape, probe
from diffufix.engines.providers import EngineName
from diffufix.engines.shapes import usage_of
from diffufix.engines.types import EngineFill, EngineStopped, FillRequest, Spending
from diffufix.errors import PrerequisiteError

ROOM = 6_000  # tokens of both texts: what providers take at least


class RemoteEngine:
    """The `Engine` of a server."""

    room = ROOM

    def __init__(self, client: Client, found: FoundShape) -> None:
        self._client, self._found = client, found
        self.name, self.at_once = client.name.text, client.provider.at_once
        self.note = found.note

    @classmethod
    def open(cls, name: EngineName, most: float) -> RemoteEngine:
        """Ask a server what it understands. Raises PrerequisiteError where it fills no holes, or
        cannot be reached, or has no key."""
        client = Client(name, most)
        try:
            return cls(client, probe(client))
        except EngineStopped as error:
            client.close()
            hint = "Start the server, or name its address: PROVIDER:MODEL@URL."
            raise PrerequisiteError(f"{error}.", hint) from error
        except BaseException:
            client.close()
            raise

    @property
    def shape(self) -> str:
        return self._found.shape.name

    @property
    def spending(self) -> Spending:
        return self._client.spending

    def fill(self, request: FillRequest) -> list[EngineFill]:
        """See `Engine.fill`."""
        found, client = self._found, self._client
        body = found.shape.body(client.name.model, request, found.marks, found.logprobs)
        if body is None:
            return []
        body |= client.provider.extra
        try:
            document = client.post(found.shape.path, body, request.max_tokens * request.count)
            fills = found.shape.read(document)
        except Refused as error:
            if error.status in (400, 413, 422):  # this prompt alone, such as one that is too long
                return []
            raise EngineStopped(f"{self.name} refuses a request: {error}") from error
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise EngineStopped(f"{self.name} answers in another form: {error}") from error
        client.count(usage_of(document), body, "".join(fill.text for fill in fills))
        return [EngineFill(_bare(fill.text, found), fill.logp, fill.tokens) for fill in fills]

    def close(self) -> None:
        self._client.close()


def _bare(text: str, found: FoundShape) -> str:
    """Without marks that end a fill, where a server leaves them in."""
    for end in found.marks.ends if found.marks else ():
        text = text.partition(end)[0]
    return text
