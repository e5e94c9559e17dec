"""The memory functions that compilers call by themselves, on the emulated Cortex-M4."""

from pathlib import Path

import pytest

from device_c_tools import Runtime, runtime_on

DECLARATIONS = """
#include <stddef.h>
void *memcpy(void *, const void *, size_t), *memmove(void *, const void *, size_t), *memset(void *, int, size_t);
""" + "".join(f"""
void __aeabi_memcpy{n}(void *, const void *, size_t), __aeabi_memmove{n}(void *, const void *, size_t);
void __aeabi_memset{n}(void *, size_t, int), __aeabi_memclr{n}(void *, size_t);
""" for n in ("", 4, 8))
COPIES = ["memcpy", "memmove", *(f"__aeabi_mem{kind}{n}" for kind in ("cpy", "move") for n in ("", 4, 8))]
MOVES = [name for name in COPIES if "move" in name]
SETS = {"memset": "(uint8_t *)p[0] + 8, a[1], (size_t)a[0]",
        **{f"__aeabi_memset{n}": "(uint8_t *)p[0] + 8, (size_t)a[0], a[1]" for n in ("", 4, 8)}}
CLEARS = [f"__aeabi_memclr{n}" for n in ("", 4, 8)]
CALLS = {
    **{name: f"{name}((uint8_t *)p[0] + a[0], (uint8_t *)p[0] + a[1], (size_t)a[2]); return 0" for name in COPIES},
    **{name: f"{name}({arguments}); return 0" for name, arguments in SETS.items()},
    **{name: f"{name}((uint8_t *)p[0] + 8, (size_t)a[0]); return 0" for name in CLEARS},
}
CONTENT = bytes(range(1, 49))


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory):
    folder: Path = tmp_path_factory.mktemp("runtime")
    with runtime_on("cortex-m4", folder, CALLS, [], DECLARATIONS) as runtime:
        yield runtime


@pytest.mark.parametrize("count", [0, 1, 3, 7, 8])
@pytest.mark.parametrize("name", COPIES)
def test_copies(runtime: Runtime, name: str, count: int):
    expected = CONTENT[:32] + CONTENT[8:8 + count] + CONTENT[32 + count:]
    assert runtime.call(name, [32, 8, count], CONTENT)[1] == [expected]


@pytest.mark.parametrize("to, start", [(8, 16), (16, 8)])
@pytest.mark.parametrize("name", MOVES)
def test_moves_to_where_the_source_is(runtime: Runtime, name: str, to: int, start: int):
    expected = CONTENT[:to] + CONTENT[start:start + 20] + CONTENT[to + 20:]
    assert runtime.call(name, [to, start, 20], CONTENT)[1] == [expected]


@pytest.mark.parametrize("count", [0, 1, 5, 12])
@pytest.mark.parametrize("name", SETS)
def test_sets(runtime: Runtime, name: str, count: int):
    assert runtime.call(name, [count, 0x1A5], CONTENT)[1] == [CONTENT[:8] + b"\xa5" * count + CONTENT[8 + count:]]


@pytest.mark.parametrize("count", [0, 1, 5, 12])
@pytest.mark.parametrize("name", CLEARS)
def test_clears(runtime: Runtime, name: str, count: int):
    assert runtime.call(name, [count], CONTENT)[1] == [CONTENT[:8] + bytes(count) + CONTENT[8 + count:]]
