# SPDX-License-Identifier: MIT
"""The benchmarks: name, group, source, units of work (about 0.3 s natively) and compiler options."""
from dataclasses import dataclass, field

CFLAGS = ['-std=gnu17', '-D_GNU_SOURCE', '-O2', '-fno-math-errno', '-Wall', '-Wextra', '-Werror', '-static']
V3 = ['-O3', '-march=x86-64-v3']
GROUPS = {'integer': 'integer', 'float': 'floating point and SIMD', 'system': 'system', 'code': 'code that changes or runs once'}


@dataclass
class Benchmark:
    name: str
    group: str  # of GROUPS
    units: int
    flags: list = field(default_factory=list)
    script: bool = False

    @property
    def file(self):
        return f'{"system" if self.group == "system" else "programs"}/{self.name}{".sh" if self.script else ".c"}'


SUITE = [
    Benchmark('sort', 'integer', 500),
    Benchmark('hash', 'integer', 380),
    Benchmark('crc32', 'integer', 350),
    Benchmark('strings', 'integer', 600),
    Benchmark('bytecode', 'integer', 500),
    Benchmark('fib', 'integer', 340),
    Benchmark('calls', 'integer', 380),
    Benchmark('sieve', 'integer', 520),
    Benchmark('sha256', 'integer', 500),
    Benchmark('aes', 'integer', 300),
    Benchmark('memcpy', 'integer', 1100),
    Benchmark('chase', 'integer', 420),
    Benchmark('chasefar', 'integer', 150),
    Benchmark('bigcode', 'integer', 370),
    Benchmark('jit', 'integer', 690),
    Benchmark('matrix_d', 'float', 1000, V3),
    Benchmark('matrix_f', 'float', 740, V3),
    Benchmark('nbody_d', 'float', 1100),
    Benchmark('nbody_f', 'float', 1300),
    Benchmark('mandelbrot', 'float', 600),
    Benchmark('pixels', 'float', 520, V3),
    Benchmark('aesni', 'float', 330, ['-maes', '-msse4.1']),
    Benchmark('sha256ni', 'float', 360, ['-msha', '-msse4.1']),
    Benchmark('x87', 'float', 1280),
    Benchmark('shell', 'system', 16000, script=True),
    Benchmark('getppid', 'system', 570),
    Benchmark('fork', 'system', 900),
    Benchmark('exec', 'system', 400),
    Benchmark('pipe', 'system', 300),
    Benchmark('switch', 'system', 350),
    Benchmark('faults', 'system', 200),
    Benchmark('signals', 'system', 220),
    Benchmark('targz', 'system', 2, script=True),
    Benchmark('straight', 'code', 1),
    Benchmark('selfmod', 'code', 24),
]
