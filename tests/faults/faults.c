/* Faults of files for real processes: LD_PRELOAD=libfaults.so with what shall happen in the environment.
 *
 *   FAULT_PATH     only calls on paths that match this pattern (fnmatch, "*" also matches "/"); needed, or nothing happens
 *   FAULT_CALLS    which calls, separated by commas: write pwrite fsync open openw create rename unlink truncate mkdir
 *   FAULT_AT       the how-manieth of these calls, from 1; without it none fails
 *   FAULT_ERROR    number of the error; "kill" ends the process before the call, "killed" behind it, "short" writes half
 *   FAULT_AND_ON   when set, every later one of these calls fails too
 *   FAULT_LIFTED   path of a file: when it is there, nothing fails any more
 *   FAULT_STRUCK   path of a file that is made when the first call has failed
 *   FAULT_LOG      path of a file to which each of these calls is added, one line each: call, flags of open, path
 *
 * `open` is for reading, `openw` for writing, `create` has O_CREAT. All is done by system calls of its own, so it calls nothing that it
 * stands in for. Linux only.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NONE, FAIL, SHORT, KILLED };

static const char *pattern, *calls, *lifted, *struck, *log_path;
static long at, error;
static int and_on, kills, shortens;
static atomic_long seen;

__attribute__((constructor)) static void read_environment(void) {
    pattern = getenv("FAULT_PATH");
    calls = getenv("FAULT_CALLS");
    lifted = getenv("FAULT_LIFTED");
    struck = getenv("FAULT_STRUCK");
    log_path = getenv("FAULT_LOG");
    and_on = getenv("FAULT_AND_ON") != NULL;
    const char *number = getenv("FAULT_AT"), *kind = getenv("FAULT_ERROR");
    at = number ? atol(number) : 0;
    kills = kind && strcmp(kind, "kill") == 0 ? 1 : kind && strcmp(kind, "killed") == 0 ? 2 : 0;
    shortens = kind && strcmp(kind, "short") == 0;
    error = kind ? atol(kind) : 0;
}

static int names(const char *call) {
    size_t length = strlen(call);
    for (const char *found = calls; found && (found = strstr(found, call)); found += length) {
        int begins = found == calls || found[-1] == ',';
        if (begins && (found[length] == ',' || found[length] == 0)) return 1;
    }
    return 0;
}

static void make(const char *path) {
    long file = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (file >= 0) syscall(SYS_close, file);
}

static void add_to_log(const char *call, const char *path) {
    char line[PATH_MAX + 64];
    int length = snprintf(line, sizeof line, "%s %s\n", call, path);
    long file = syscall(SYS_openat, AT_FDCWD, log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file < 0) return;
    syscall(SYS_write, file, line, length);
    syscall(SYS_close, file);
}

static void end(void) {
    syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
    for (;;) pause();
}

/* What shall become of this call. */
static int fate(const char *call, const char *path) {
    if (!pattern || !calls || !path || !names(call) || fnmatch(pattern, path, 0) != 0) return NONE;
    if (log_path) add_to_log(call, path);
    long number = atomic_fetch_add(&seen, 1) + 1;
    if (at == 0 || number < at || (number > at && !and_on)) return NONE;
    if (lifted && syscall(SYS_faccessat, AT_FDCWD, lifted, F_OK) == 0) return NONE;
    if (struck && number == at) make(struck);
    if (kills == 1) end();
    return kills == 2 ? KILLED : shortens ? SHORT : FAIL;
}

static int fate_of_file(const char *call, int file) {
    char link[64], path[PATH_MAX];
    if (!pattern || file <= 2 || !calls) return NONE;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (length <= 0) return NONE;
    path[length] = 0;
    return fate(call, path);
}

static int fate_of_path(const char *call, int folder, const char *path) {
    char joined[2 * PATH_MAX], link[64];
    if (!pattern || !path || path[0] == '/') return fate(call, path);
    if (folder == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, joined, PATH_MAX);
    if (length <= 0) return NONE;
    snprintf(joined + length, sizeof joined - length, "/%s", path);
    return fate(call, joined);
}

static long fail(void) {
    errno = (int)error;
    return -1;
}

#define DO(fate_, ...)                         \
    do {                                       \
        int saved_ = errno, fate__ = (fate_);  \
        if (fate__ == FAIL) return fail();     \
        if (fate__ == SHORT) return fail();    \
        errno = saved_;                        \
        long done_ = syscall(__VA_ARGS__);     \
        if (fate__ == KILLED) end();           \
        return done_;                          \
    } while (0)

#define WRITE(fate_, size, cut, ...)           \
    do {                                       \
        int saved_ = errno, fate__ = (fate_);  \
        if (fate__ == FAIL) return fail();     \
        if (fate__ == SHORT) size = cut;       \
        errno = saved_;                        \
        long done_ = syscall(__VA_ARGS__);     \
        if (fate__ == KILLED) end();           \
        return done_;                          \
    } while (0)

ssize_t write(int file, const void *bytes, size_t size) {
    WRITE(fate_of_file("write", file), size, size / 2, SYS_write, file, bytes, size);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
    WRITE(fate_of_file("write", file), count, count / 2, SYS_writev, file, parts, count);
}

ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t offset) {
    WRITE(fate_of_file("pwrite", file), size, size / 2, SYS_pwrite64, file, bytes, size, offset);
}

ssize_t pwrite(int file, const void *bytes, size_t size, off_t offset) {
    return pwrite64(file, bytes, size, offset);
}

int fsync(int file) { DO(fate_of_file("fsync", file), SYS_fsync, file); }
int fdatasync(int file) { DO(fate_of_file("fsync", file), SYS_fdatasync, file); }

static const char *kind_of_open(int flags) {
    if (flags & O_CREAT) return "create";
    return (flags & O_ACCMODE) == O_RDONLY ? "open" : "openw";
}

int openat64(int folder, const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    DO(fate_of_path(kind_of_open(flags), folder, path), SYS_openat, folder, path, flags, mode);
}

#define OPEN(name, folder_)                                                      \
    {                                                                            \
        va_list rest;                                                            \
        va_start(rest, flags);                                                   \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;  \
        va_end(rest);                                                            \
        return openat64(folder_, path, flags, mode);                             \
    }

int openat(int folder, const char *path, int flags, ...) OPEN(openat, folder)
int open(const char *path, int flags, ...) OPEN(open, AT_FDCWD)
int open64(const char *path, int flags, ...) OPEN(open64, AT_FDCWD)

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    DO(fate_of_path("rename", to_folder, to), SYS_renameat2, from_folder, from, to_folder, to, 0);
}

int rename(const char *from, const char *to) { return renameat(AT_FDCWD, from, AT_FDCWD, to); }

int unlinkat(int folder, const char *path, int flags) { DO(fate_of_path("unlink", folder, path), SYS_unlinkat, folder, path, flags); }
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int ftruncate64(int file, off64_t length) { DO(fate_of_file("truncate", file), SYS_ftruncate, file, length); }
int ftruncate(int file, off_t length) { return ftruncate64(file, length); }

int mkdirat(int folder, const char *path, mode_t mode) { DO(fate_of_path("mkdir", folder, path), SYS_mkdirat, folder, path, mode); }
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
