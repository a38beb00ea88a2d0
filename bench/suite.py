# SPDX-License-Identifier: MIT
"""The benchmarks: name, group, source, units of work (0.1 to 0.2 s natively: QEMU takes a hundred times that for some) and compiler options."""
from dataclasses import dataclass, field

CFLAGS = ['-std=gnu17', '-D_GNU_SOURCE', '-O2', '-fno-math-errno', '-Wall', '-Wextra', '-Werror', '-static',
          '-Wl,-z,separate-code']  # code begins with a page, as elsewhere by default: a loop that lies across two takes QEMU twice as long
V3 = ['-march=x86-64-v3']
CALLS = ['-fno-optimize-sibling-calls', '-fno-inline-functions', '-Wno-unknown-attributes']  # fib.c says the same to gcc itself
GROUPS = {'integer': 'integer', 'float': 'floating point and SIMD', 'system': 'system', 'code': 'code that changes or runs once'}


@dataclass
class Benchmark:
    name: str
    group: str  # of GROUPS
    units: int
    flags: list = field(default_factory=list)
    x86_flags: list = field(default_factory=list)  # where it is compiled for x86-64
    x86_only: bool = False  # it holds or makes x86 instructions
    rounds: bool = False  # what it prints depends on which multiplications and additions are fused, or how wide a long double is
    script: bool = False

    def flags_for(self, arch):
        """All compiler options."""
        return CFLAGS + self.flags + (self.x86_flags if arch == 'x86-64' else [])

    @property
    def file(self):
        return f'{"system" if self.group == "system" else "programs"}/{self.name}{".sh" if self.script else ".c"}'


SUITE = [
    Benchmark('sort', 'integer', 250),
    Benchmark('hash', 'integer', 190),
    Benchmark('crc32', 'integer', 175),
    Benchmark('strings', 'integer', 300),
    Benchmark('bytecode', 'integer', 250),
    Benchmark('fib', 'integer', 170, CALLS),
    Benchmark('calls', 'integer', 190),
    Benchmark('sieve', 'integer', 260),
    Benchmark('sha256', 'integer', 250),
    Benchmark('aes', 'integer', 150),
    Benchmark('memcpy', 'integer', 400),
    Benchmark('chase', 'integer', 210),
    Benchmark('chasefar', 'integer', 75),
    Benchmark('bigcode', 'integer', 185),
    Benchmark('jit', 'integer', 345, x86_only=True),
    Benchmark('matrix_d', 'float', 330, ['-O3'], V3),
    Benchmark('matrix_f', 'float', 250, ['-O3'], V3),
    Benchmark('nbody_d', 'float', 400, rounds=True),
    Benchmark('nbody_f', 'float', 400, rounds=True),
    Benchmark('mandelbrot', 'float', 300, rounds=True),
    Benchmark('pixels', 'float', 260, ['-O3'], V3),
    Benchmark('aesni', 'float', 160, x86_flags=['-maes', '-msse4.1'], x86_only=True),
    Benchmark('sha256ni', 'float', 180, x86_flags=['-msha', '-msse4.1'], x86_only=True),
    Benchmark('x87', 'float', 640, rounds=True),
    Benchmark('shell', 'system', 8000, script=True),
    Benchmark('getppid', 'system', 285),
    Benchmark('fork', 'system', 450),
    Benchmark('exec', 'system', 200),
    Benchmark('pipe', 'system', 150),
    Benchmark('switch', 'system', 175),
    Benchmark('faults', 'system', 100),
    Benchmark('signals', 'system', 110),
    Benchmark('targz', 'system', 1, script=True),
    Benchmark('straight', 'code', 1, x86_only=True),
    Benchmark('selfmod', 'code', 24, x86_only=True),
]


def suite_for(arch):
    """The benchmarks that a guest of this instruction set can run."""
    return [b for b in SUITE if arch == 'x86-64' or not b.x86_only]
