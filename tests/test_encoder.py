"""The conformer's own promises: a batch is its clips, and a block needs nothing left of its edge."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from model.config import EncoderConfig
from model.encoder import BlockAttention, Conformer, Edge, Encoding, Layout
from tests.checkpoints import randomise

# Absolute, on values of the order of one in float32: another batch shape sums in another order.
TOLERANCE = 5e-6
BLOCK = 20  # frames: a small block makes many borders cheap
LAYERS, REACH = 6, 7
CONFIG = EncoderConfig(
    num_layers=LAYERS,
    hidden_dim=32,
    num_heads=2,
    dim_head=24,
    output_dim=42,
    context_size=BLOCK,
    max_pos_emb=32,
    cat_hidden_layers=(3,),
)
FEATURES = torch.randn(3 * BLOCK + 11, 160, generator=torch.Generator().manual_seed(5)) / 2

encoder = Conformer(CONFIG).eval().requires_grad_(False)
randomise(encoder, seed=2)


@pytest.fixture(scope="module", autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def encode(*clips: Tensor, left: list[Edge | None] | None = None, borders: tuple[tuple[int, int], ...] = ()):
    return encoder(torch.cat(clips), encoder.layout([len(clip) for clip in clips], left), left, borders)


def assert_same(ours: Encoding, hidden: Tensor, logits: Tensor) -> None:
    torch.testing.assert_close(ours.hidden, hidden, atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(ours.logits, logits, atol=TOLERANCE, rtol=0)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, len(FEATURES)), min_size=1, max_size=5))
@example([1, 1])
@example([BLOCK, BLOCK])
@example([BLOCK - 1, BLOCK, BLOCK + 1, 1, 3 * BLOCK])
def test_a_batch_gives_each_clip_what_it_gets_alone(lengths: list[int]) -> None:
    clips = [FEATURES[-length:] * (1 + index) for index, length in enumerate(lengths)]
    batch = encode(*clips)
    hidden, logits = batch.hidden.split(lengths), batch.logits.split(lengths)
    for index, clip in enumerate(clips):
        assert_same(encode(clip), hidden[index], logits[index])


@pytest.mark.parametrize("border", [BLOCK, 2 * BLOCK, 3 * BLOCK])
@pytest.mark.parametrize("frames", [len(FEATURES), 3 * BLOCK + 1])
def test_a_block_is_encoded_alike_from_its_left_edge(frames: int, border: int) -> None:
    features = FEATURES[:frames]
    whole = encode(features, borders=((0, border),))
    rest = encode(features[border:], left=[whole.edges[0]])
    assert whole.edges[0].inputs.shape == (LAYERS, REACH, CONFIG.conv_dim)
    assert_same(rest, whole.hidden[border:], whole.logits[border:])


def test_without_its_edge_a_block_is_encoded_otherwise() -> None:
    # the test above would pass for nothing if the convolutions saw little of the edge
    whole = encode(FEATURES)
    rest = encode(FEATURES[BLOCK:])
    assert (rest.hidden - whole.hidden[BLOCK:])[:REACH].abs().max() > 0.1


def test_edges_can_be_handed_on_from_block_to_block() -> None:
    whole = encode(FEATURES, borders=((0, BLOCK), (0, 2 * BLOCK)))
    second = encode(FEATURES[BLOCK:], left=[whole.edges[0]], borders=((0, 0), (0, BLOCK)))
    assert torch.equal(second.edges[0].inputs, whole.edges[0].inputs)
    torch.testing.assert_close(second.edges[1].inputs, whole.edges[1].inputs, atol=TOLERANCE, rtol=0)
    third = encode(FEATURES[2 * BLOCK :], left=[second.edges[1]])
    assert_same(third, whole.hidden[2 * BLOCK :], whole.logits[2 * BLOCK :])


def test_clips_with_and_without_an_edge_share_a_batch() -> None:
    whole = encode(FEATURES, borders=((0, 2 * BLOCK),))
    other = FEATURES[:9] * 2
    tail = FEATURES[2 * BLOCK :]
    batch = encode(other, tail, other, left=[None, whole.edges[0], None])
    alone = encode(other)
    assert_same(alone, batch.hidden[:9], batch.logits[:9])
    assert_same(alone, batch.hidden[-9:], batch.logits[-9:])
    torch.testing.assert_close(batch.hidden[9:-9], whole.hidden[2 * BLOCK :], atol=TOLERANCE, rtol=0)


def test_borders_of_several_clips_come_back_in_their_order() -> None:
    clips = FEATURES, FEATURES[:BLOCK] * 2
    batch = encode(*clips, borders=((1, BLOCK), (0, 2 * BLOCK)))
    alone = [encode(clips[1], borders=((0, BLOCK),)), encode(clips[0], borders=((0, 2 * BLOCK),))]
    for edge, single in zip(batch.edges, alone, strict=True):
        torch.testing.assert_close(edge.inputs, single.edges[0].inputs, atol=TOLERANCE, rtol=0)


def test_frames_two_blocks_on_change_a_block_only_a_little() -> None:
    # one block late is nearly final: a change has to leak through a whole block, 7 frames a layer
    changed = FEATURES.clone()
    changed[2 * BLOCK :] += 1
    difference = (encode(changed).hidden - encode(FEATURES).hidden).abs().amax(-1)
    assert difference[:BLOCK].max() < difference[BLOCK : 2 * BLOCK].max() / 10 < difference[2 * BLOCK :].max() / 10


@given(st.lists(st.integers(0, 70), max_size=6), st.integers(1, 40))
@example([], 20)
@example([0, 20, 0], 20)
def test_every_frame_has_one_place_in_a_block_of_its_own_clip(lengths: list[int], context_size: int) -> None:
    layout = Layout.of(lengths, context_size)
    present = torch.ones_like(layout.blocks, dtype=torch.bool) if layout.visible is None else layout.visible[:, 0, 0]
    assert layout.blocks.flatten()[layout.places].tolist() == list(range(sum(lengths)))
    assert torch.equal(layout.keys, layout.blocks)  # nothing stands before a clip
    assert present.sum() == sum(lengths)
    clip = [index for index, length in enumerate(lengths) for _ in range(length)]
    for frames, here in zip(layout.blocks, present, strict=True):
        inside = frames[here].tolist()
        assert inside
        assert len(inside) <= context_size
        assert inside == list(range(inside[0], inside[0] + len(inside)))
        assert clip[inside[0]] == clip[inside[-1]]


@given(st.integers(1, 1000))
def test_blocks_stand_at_multiples_of_the_context(length: int) -> None:
    layout = Layout.of([length], 200)
    assert layout.blocks[:, 0].tolist() == list(range(0, length, 200))


@given(st.integers(0, BLOCK - 1), st.integers(1, 2 * BLOCK), st.integers(0, BLOCK - 1), st.integers(1, BLOCK))
def test_frames_attend_alike_whether_their_blocks_beginning_is_given_or_its_keys(
    context: int, frames: int, other_context: int, other_frames: int
) -> None:
    attention: BlockAttention = encoder.layers[0].attn
    hidden = torch.randn(3 * BLOCK, CONFIG.hidden_dim, generator=torch.Generator().manual_seed(1))

    def whole(start: int, end: int) -> Tensor:
        out, _ = attention(hidden[:end], Layout.of([end], BLOCK), keys_values[:0])
        return out[start:]

    keys_values = attention.to_kv(attention.pre_norm(hidden))
    clips = [(context, context + frames), (other_context, other_context + other_frames)]
    layout = Layout.of([end - start for start, end in clips], BLOCK, contexts=[start for start, _ in clips])
    given_keys = torch.cat([keys_values[:start] for start, _ in clips])
    out, _ = attention(torch.cat([hidden[start:end] for start, end in clips]), layout, given_keys)
    expected = torch.cat([whole(start, end) for start, end in clips])
    torch.testing.assert_close(out, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(("first", "second"), [(5, 9), (8, BLOCK), (BLOCK + 3, BLOCK + 4), (1, 2)])
def test_an_edge_within_a_block_holds_what_an_edge_before_it_led_to(first: int, second: int) -> None:
    """Going on at `first` up to `second` keeps there the keys of the frames before `first`, and those of its own."""
    start = encode(FEATURES[:first], borders=((0, first),)).edges[0]
    at = encode(FEATURES[first:second], left=[start], borders=((0, second - first),))
    edge = at.edges[0]
    assert edge.context.shape == (LAYERS, second % BLOCK, 2 * CONFIG.num_heads * CONFIG.dim_head)
    if second % BLOCK:
        assert torch.equal(edge.context[:, : first % BLOCK], start.context)
    more = encode(FEATURES[second : second + 4], left=[edge])
    assert more.hidden.isfinite().all()


def test_an_edge_at_the_end_of_all_frames_gives_the_block_to_what_follows() -> None:
    """With one layer, keys and values depend on nothing that follows: the convolution apart, going on is the whole."""
    one = Conformer(dataclasses.replace(CONFIG, num_layers=1, cat_hidden_layers=())).eval().requires_grad_(False)
    randomise(one, seed=3)
    at, end = 7, BLOCK + 4
    edge = one(FEATURES[:at], one.layout([at]), None, ((0, at),)).edges[0]
    rest = one(FEATURES[at:end], one.layout([end - at], [edge]), [edge])
    whole = one(FEATURES[:end], one.layout([end]))
    torch.testing.assert_close(rest.hidden[REACH:], whole.hidden[at + REACH :], atol=TOLERANCE, rtol=0)


def test_clips_that_go_on_within_their_blocks_keep_the_edges_they_would_keep_alone() -> None:
    begun, more = [5, 8, 0, 12], [9, BLOCK + 3, 7, 2]  # frames before and after each clip's edge
    clips = [FEATURES[at:] * (1 + index) for index, at in enumerate(begun)]
    left = [
        encode(clip[:at], borders=((0, at),)).edges[0] if at else None for clip, at in zip(clips, begun, strict=True)
    ]
    news = [clip[at : at + count] for clip, at, count in zip(clips, begun, more, strict=True)]
    batch = encode(*news, left=left, borders=tuple(enumerate(more)))
    for edge, new, before, count in zip(batch.edges, news, left, more, strict=True):
        (alone,) = encode(new, left=[before], borders=((0, count),)).edges
        torch.testing.assert_close(edge.inputs, alone.inputs, atol=TOLERANCE, rtol=0)
        torch.testing.assert_close(edge.context, alone.context, atol=TOLERANCE, rtol=0)


def test_the_middle_of_an_odd_number_of_layers_is_the_one_before() -> None:
    three = Conformer(dataclasses.replace(CONFIG, num_layers=3, cat_hidden_layers=())).eval().requires_grad_(False)
    one = Conformer(dataclasses.replace(CONFIG, num_layers=1, cat_hidden_layers=())).eval().requires_grad_(False)
    randomise(three, seed=3)
    one.load_state_dict(three.state_dict(), strict=False)  # the first of its layers
    heard = three(FEATURES, three.layout([len(FEATURES)]))
    torch.testing.assert_close(heard.middle_logits, one(FEATURES, one.layout([len(FEATURES)])).logits)
