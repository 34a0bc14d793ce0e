"""What the composition root refuses before anything is opened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tradewright.app import create_app
from tradewright.config import TestingConfig
from tradewright.domain.errors import ConfigError


@pytest.mark.parametrize(
    ("providers", "sentence"),
    [
        ({"binanc": {}}, "names no provider"),
        ({"binance": {"url": {}}}, "[providers.binance] can't hold url: it takes urls, options."),
        ({"binance": {"urls": "http://127.0.0.1"}}, "[providers.binance.urls] must be a table."),
        ({"simulated": {"seed": "7"}}, "[providers.simulated] seed must be a whole number."),
        ({"simulated": {"sead": 7}}, "can't hold sead: it takes seed."),
    ],
)
def test_a_wrong_provider_table_is_refused(
    providers: Mapping[str, Mapping[str, object]], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as refused:
        create_app(TestingConfig(data_dir=tmp_path, providers=providers))
    assert len(refused.value.problems) == 1
    assert sentence in refused.value.problems[0]


def test_making_an_application_opens_nothing(tmp_path: Path) -> None:
    create_app(TestingConfig(data_dir=tmp_path / "not" / "there", providers={"simulated": {"seed": 7}}))
    assert not (tmp_path / "not").exists()
