"""The pictures in an item."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from response_store.openai_api.item_images import MAX_IMAGES, find_images
from tests.fakes.item_kinds import CODED, IMAGE_URL

SVG = base64.b64encode(b"<svg onload='alert(1)'/>").decode()
URL_PART = {"type": "input_image", "image_url": IMAGE_URL}


@pytest.mark.parametrize(
    "item",
    [
        {"role": "user", "content": [URL_PART]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": IMAGE_URL}}]},
        {"content": [{"type": "image", "source": {"type": "base64", "data": CODED}}]},
        {"type": "function_call_output", "output": [URL_PART]},
        {"type": "computer_call_output", "output": {"image_url": IMAGE_URL}},
        {"type": "image_generation_call", "result": CODED},
        {"role": "user", "content": [{"type": "tool_result", "content": [URL_PART]}]},
        {"images": [{"image_url": {"url": IMAGE_URL}}]},
    ],
)
def test_pictures_are_found_wherever_they_stand(item: dict[str, Any]) -> None:
    """Each API, and each server, puts a picture somewhere else."""
    assert [(one.media_type, one.data) for one in find_images(item)] == [("image/png", CODED)]
    assert find_images(item)[0].url == IMAGE_URL


@pytest.mark.parametrize(
    "url",
    [
        "https://elsewhere.example/a.png",
        f"data:image/svg+xml;base64,{SVG}",
        f"data:image/png;base64,{SVG}",
        f"{IMAGE_URL}' onerror='alert(1)",
        "data:image/png;base64,",
        "data:image/png,iVBORw0KGgo",
        "\u00e9" * 20,
        7,
    ],
)
def test_what_is_no_picture(url: Any) -> None:
    """Nothing is fetched, an SVG may hold scripts, and what is no base64 could be anything."""
    assert find_images({"content": [{"type": "input_image", "image_url": url}]}) == ()


def test_pictures_are_bounded() -> None:
    """No item has more pictures than anybody looks at, however deep they stand."""
    assert len(find_images({"content": [URL_PART] * 100})) == MAX_IMAGES
    nested: dict[str, Any] = {"content": [URL_PART]}
    for _ in range(3000):
        nested = {"content": [nested]}
    assert find_images(nested) == ()
