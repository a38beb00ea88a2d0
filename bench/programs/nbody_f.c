/* SPDX-License-Identifier: MIT */
/*
 * Bodies that attract each other, in floats: scalar SSE2, with divisions and square roots.
 */
#include "../bench.h"

enum { BODIES = 8 };
static struct body {
    float x, y, z, vx, vy, vz, mass;
} body[BODIES];

static float random_place(void)
{
    return (float)(random_next() % 4096) / 1024 - 2;
}

static void set_up(void)
{
    for (unsigned k = 0; k < BODIES; k++)
        body[k] = (struct body){ random_place(), random_place(), random_place(), 0, 0, 0, (float)(1 + k) / 64 };
}

static float root(float x)
{
    return __builtin_sqrtf(x);
}

static void pull(struct body *p, struct body *q, float dt)
{
    float dx = p->x - q->x, dy = p->y - q->y, dz = p->z - q->z, d2 = dx * dx + dy * dy + dz * dz + (float)0.01;
    float m = dt / (d2 * root(d2));
    p->vx -= dx * q->mass * m, p->vy -= dy * q->mass * m, p->vz -= dz * q->mass * m;
    q->vx += dx * p->mass * m, q->vy += dy * p->mass * m, q->vz += dz * p->mass * m;
}

static uint64_t unit(unsigned n)
{
    uint64_t sum = n;
    for (unsigned step = 0; step < 2000; step++) {
        for (unsigned k = 0; k < BODIES; k++)
            for (unsigned j = k + 1; j < BODIES; j++)
                pull(&body[k], &body[j], (float)0.001);
        for (unsigned k = 0; k < BODIES; k++) {
            body[k].x += body[k].vx * (float)0.001;
            body[k].y += body[k].vy * (float)0.001;
            body[k].z += body[k].vz * (float)0.001;
        }
    }
    for (unsigned k = 0; k < BODIES; k++)
        sum = sum * 31 + (uint64_t)(int64_t)(body[k].x * 100000);
    return sum;
}
