"""A real server beside the app of this process: what one ends, the other refuses."""

import time
from pathlib import Path

import requests

from api.tokens import RECHECK_S
from tests.api.server import serving
from tests.identity.conftest import GOOD, House


def test_what_one_process_ends_the_other_refuses(
    house: House, environment: dict[str, str], tmp_path: Path
) -> None:
    """Within two seconds; a session begun in one goes on in the other."""
    house.person("operator", email="ada@example.com")
    asked = {"tenant": house.name, "email": "ada@example.com", "password": GOOD}
    with serving(environment, "", tmp_path / "server.log") as server:
        begun = requests.post(f"{server.url}/v1/sessions", json=asked, timeout=10)
        assert begun.status_code == 201, begun.text
        newer = house.refresh(begun.json()["refresh_token"])
        assert newer.status_code == 200, newer.text
        bearer = {"Authorization": f"Bearer {newer.json['access_token']}"}

        def there() -> int:
            return requests.get(
                f"{server.url}/v1/people/me", headers=bearer, timeout=10
            ).status_code

        assert there() == 200
        here = house.caller(newer.json["access_token"])
        assert here.call("DELETE", "/v1/sessions/current").status_code == 200
        time.sleep(RECHECK_S)
        assert there() == 401
