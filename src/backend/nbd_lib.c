/* SPDX-License-Identifier: MIT */
/*
 * libnbd's functions, as libnbd.h declares them: each hands its arguments on to the one of the same name in the library.
 * Spec: dlopen(3), libnbd(3)
 */
#include "backend/nbd_lib.h"

#include <dlfcn.h>
#include <errno.h>
#include <libnbd.h>
#include <stddef.h>

#define HANDLE struct nbd_handle *h
#define DONE nbd_completion_callback done, uint32_t flags

/* Those in use: type, name, parameters, arguments. */
#define FUNCTIONS(X)                                                                                                             \
    X(struct nbd_handle *, nbd_create, (void), ())                                                                               \
    X(const char *, nbd_get_error, (void), ())                                                                                   \
    X(int, nbd_get_errno, (void), ())                                                                                            \
    X(int, nbd_aio_connect_uri, (HANDLE, const char *uri), (h, uri))                                                             \
    X(int, nbd_aio_connect_socket, (HANDLE, int sock), (h, sock))                                                                \
    X(int, nbd_aio_disconnect, (HANDLE, uint32_t flags), (h, flags))                                                             \
    X(int, nbd_aio_is_ready, (HANDLE), (h))                                                                                      \
    X(int, nbd_aio_is_closed, (HANDLE), (h))                                                                                     \
    X(int, nbd_aio_is_dead, (HANDLE), (h))                                                                                       \
    X(int, nbd_aio_get_fd, (HANDLE), (h))                                                                                        \
    X(unsigned, nbd_aio_get_direction, (HANDLE), (h))                                                                            \
    X(int, nbd_aio_command_completed, (HANDLE, uint64_t cookie), (h, cookie))                                                    \
    X(int64_t, nbd_aio_pread, (HANDLE, void *to, size_t len, uint64_t at, DONE), (h, to, len, at, done, flags))                  \
    X(int64_t, nbd_aio_pwrite, (HANDLE, const void *from, size_t len, uint64_t at, DONE), (h, from, len, at, done, flags))       \
    X(int64_t, nbd_aio_flush, (HANDLE, DONE), (h, done, flags))                                                                  \
    X(int64_t, nbd_aio_trim, (HANDLE, uint64_t len, uint64_t at, DONE), (h, len, at, done, flags))                               \
    X(int64_t, nbd_aio_zero, (HANDLE, uint64_t len, uint64_t at, DONE), (h, len, at, done, flags))                               \
    X(int64_t, nbd_get_size, (HANDLE), (h))                                                                                      \
    X(int64_t, nbd_get_block_size, (HANDLE, int type), (h, type))                                                                \
    X(int, nbd_is_read_only, (HANDLE), (h))                                                                                      \
    X(int, nbd_can_flush, (HANDLE), (h))                                                                                         \
    X(int, nbd_can_fua, (HANDLE), (h))                                                                                           \
    X(int, nbd_can_trim, (HANDLE), (h))                                                                                          \
    X(int, nbd_can_zero, (HANDLE), (h))                                                                                          \
    X(int, nbd_poll, (HANDLE, int ms), (h, ms))

/* The library's functions; written once, by nbd_lib_load(). */
static struct {
#define POINTER(type, name, parameters, arguments) __typeof__(name) *name;
    FUNCTIONS(POINTER)
#undef POINTER
    __typeof__(nbd_close) *nbd_close;
    bool there;
} lib;

#define FORWARD(type, name, parameters, arguments)                                                                               \
    type name parameters                                                                                                         \
    {                                                                                                                            \
        return lib.name arguments;                                                                                               \
    }
FUNCTIONS(FORWARD)
#undef FORWARD

void nbd_close(struct nbd_handle *h)
{
    if (h)
        lib.nbd_close(h);
}

int nbd_lib_load(struct error *err)
{
    if (lib.there)
        return 0;
    void *so = dlopen("libnbd.so.0", RTLD_NOW | RTLD_LOCAL); /* for ever */
    if (!so)
        return error_set(err, -ENOTSUP, "it needs libnbd: %s", dlerror());
#define FIND(type, name, parameters, arguments)                                                                                  \
    if (!(lib.name = (__typeof__(name) *)dlsym(so, #name)))                                                                      \
        return error_set(err, -ENOTSUP, "libnbd.so.0 has no %s()", #name);
    FUNCTIONS(FIND)
    FIND(void, nbd_close, , )
#undef FIND
    lib.there = true;
    return 0;
}
