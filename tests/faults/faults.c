/* Faults of files for real processes: LD_PRELOAD=libfaults.so with what shall happen in the environment.
 *
 *   FAULT_PATH     only calls on paths that match this pattern (fnmatch, "*" also matches "/"); needed, or nothing happens
 *   FAULT_CALLS    which calls, separated by commas: write pwrite fsync open openw create rename unlink truncate mkdir
 *   FAULT_AT       the how-manieth of these calls, from 1; without it none fails
 *   FAULT_ERROR    number of the error; "kill" ends the process before the call, "killed" behind it, "short" writes half,
 *                  "hang" does not come back before the fault is lifted
 *   FAULT_AND_ON   when set, every later one of these calls fails too
 *   FAULT_LIFTED   path of a file: when it is there, nothing fails any more
 *   FAULT_STRUCK   path of a file that is made when the first call has failed
 *   FAULT_LOG      path of a file to which each of these calls is added, one line each: call and path
 *   FAULT_TRACE    path of a file to which every change that was made is added, whatever FAULT_CALLS says, for a disk in memory that
 *                  does it again: call, path and what belongs to it, bytes in hexadecimal, separated by tabs
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
#include <time.h>
#include <unistd.h>

enum { NONE, FAIL, SHORT, KILLED };

static const char *pattern, *calls, *lifted, *struck, *log_path, *trace_path;
static long at, error;
static int and_on, kills, shortens, hangs;
static atomic_long seen;
static atomic_flag tracing = ATOMIC_FLAG_INIT;

__attribute__((constructor)) static void read_environment(void) {
    pattern = getenv("FAULT_PATH");
    calls = getenv("FAULT_CALLS");
    lifted = getenv("FAULT_LIFTED");
    struck = getenv("FAULT_STRUCK");
    log_path = getenv("FAULT_LOG");
    trace_path = getenv("FAULT_TRACE");
    and_on = getenv("FAULT_AND_ON") != NULL;
    const char *number = getenv("FAULT_AT"), *kind = getenv("FAULT_ERROR");
    at = number ? atol(number) : 0;
    kills = kind && strcmp(kind, "kill") == 0 ? 1 : kind && strcmp(kind, "killed") == 0 ? 2 : 0;
    shortens = kind && strcmp(kind, "short") == 0;
    hangs = kind && strcmp(kind, "hang") == 0;
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

static int is_lifted(void) { return lifted && syscall(SYS_faccessat, AT_FDCWD, lifted, F_OK) == 0; }

/* Asleep in the call, as on a disk that does not answer; done as if nothing had been, when the fault is lifted. */
static int hang(void) {
    struct timespec pause = {0, 1000000};
    while (!is_lifted()) syscall(SYS_nanosleep, &pause, NULL);
    return NONE;
}

/* What shall become of this call. */
static int fate(const char *call, const char *path) {
    if (!pattern || !calls || !path || !names(call) || fnmatch(pattern, path, 0) != 0) return NONE;
    if (log_path) add_to_log(call, path);
    long number = atomic_fetch_add(&seen, 1) + 1;
    if (at == 0 || number < at || (number > at && !and_on)) return NONE;
    if (is_lifted()) return NONE;
    if (struck && number == at) make(struck);
    if (kills == 1) end();
    if (hangs) return hang();
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

static int path_of(int file, char path[PATH_MAX]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    path[length > 0 ? length : 0] = 0;
    return length > 0;
}

static int joined(int folder, const char *path, char found[PATH_MAX]) {
    if (path[0] == '/') return snprintf(found, PATH_MAX, "%s", path) > 0;
    char base[PATH_MAX];
    if (folder == AT_FDCWD) base[syscall(SYS_getcwd, base, sizeof base) > 0 ? strlen(base) : 0] = 0;
    else if (!path_of(folder, base)) return 0;
    return snprintf(found, PATH_MAX, "%.2000s/%.2000s", base, path) > 0;
}

/* A change and its line in the trace stay together, whatever other threads do. */
static void enter(void) {
    if (trace_path) while (atomic_flag_test_and_set(&tracing)) {}
}

static void leave(void) {
    if (trace_path) atomic_flag_clear(&tracing);
}

static void add(long file, const char *text) { syscall(SYS_write, file, text, strlen(text)); }

static void trace(const char *call, const char *path, const char *more, const unsigned char *bytes, size_t size) {
    if (!trace_path || !pattern || fnmatch(pattern, path, 0) != 0) return;
    long file = syscall(SYS_openat, AT_FDCWD, trace_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file < 0) return;
    add(file, call), add(file, "\t"), add(file, path), add(file, "\t"), add(file, more), add(file, "\t");
    for (size_t at = 0; at < size;) {
        char hex[4096];
        size_t filled = 0;
        for (; at < size && filled + 2 < sizeof hex; at++, filled += 2) snprintf(hex + filled, 3, "%02x", bytes[at]);
        syscall(SYS_write, file, hex, filled);
    }
    add(file, "\n");
    syscall(SYS_close, file);
}

static void trace_file(const char *call, int file, const char *more, const void *bytes, long size) {
    char path[PATH_MAX];
    if (trace_path && file > 2 && size >= 0 && path_of(file, path)) trace(call, path, more, bytes, bytes ? (size_t)size : 0);
}

static void trace_path_of(const char *call, int folder, const char *path, const char *more, long done) {
    char found[PATH_MAX];
    if (trace_path && done >= 0 && joined(folder, path, found)) trace(call, found, more, NULL, 0);
}

static long fail(void) {
    errno = (int)error;
    return -1;
}

#define DO(fate_, trace_, ...)                 \
    do {                                       \
        int fate__ = (fate_);                  \
        if (fate__ == FAIL || fate__ == SHORT) return fail(); \
        enter();                               \
        long done_ = syscall(__VA_ARGS__);     \
        int saved_ = errno;                    \
        trace_;                                \
        leave();                               \
        errno = saved_;                        \
        if (fate__ == KILLED) end();           \
        return done_;                          \
    } while (0)

/* A short one writes half of what it is given. */
#define WRITE(fate_, size, trace_, ...)        \
    do {                                       \
        int short_ = (fate_);                  \
        if (short_ == FAIL) return fail();     \
        if (short_ == SHORT) size /= 2;        \
        DO(short_ == KILLED ? KILLED : NONE, trace_, __VA_ARGS__); \
    } while (0)

ssize_t write(int file, const void *bytes, size_t size) {
    WRITE(fate_of_file("write", file), size, trace_file("write", file, "", bytes, done_), SYS_write, file, bytes, size);
}

/* Nothing that is traced writes so. */
ssize_t writev(int file, const struct iovec *parts, int count) {
    WRITE(fate_of_file("write", file), count, trace_file("writev", file, "", NULL, 0), SYS_writev, file, parts, count);
}

ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t offset) {
    char place[32];
    snprintf(place, sizeof place, "%lld", (long long)offset);
    WRITE(fate_of_file("pwrite", file), size, trace_file("pwrite", file, place, bytes, done_), SYS_pwrite64, file, bytes, size, offset);
}

ssize_t pwrite(int file, const void *bytes, size_t size, off_t offset) { return pwrite64(file, bytes, size, offset); }

int fsync(int file) { DO(fate_of_file("fsync", file), trace_file("fsync", file, "", NULL, done_), SYS_fsync, file); }
int fdatasync(int file) { DO(fate_of_file("fsync", file), trace_file("fsync", file, "", NULL, done_), SYS_fdatasync, file); }

static const char *kind_of_open(int flags) {
    if (flags & O_CREAT) return "create";
    return (flags & O_ACCMODE) == O_RDONLY ? "open" : "openw";
}

static void trace_open(int folder, const char *path, int flags, long done) {
    if ((flags & O_ACCMODE) == O_RDONLY || !(flags & (O_CREAT | O_TRUNC))) return;
    trace_path_of("create", folder, path, flags & O_TRUNC ? "truncate" : "", done);
}

int openat64(int folder, const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    DO(fate_of_path(kind_of_open(flags), folder, path), trace_open(folder, path, flags, done_), SYS_openat, folder, path, flags, mode);
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

static void trace_rename(int from_folder, const char *from, int to_folder, const char *to, long done) {
    char target[PATH_MAX];
    if (trace_path && joined(to_folder, to, target)) trace_path_of("rename", from_folder, from, target, done);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    DO(fate_of_path("rename", to_folder, to), trace_rename(from_folder, from, to_folder, to, done_), SYS_renameat2, from_folder, from,
       to_folder, to, 0);
}

int rename(const char *from, const char *to) { return renameat(AT_FDCWD, from, AT_FDCWD, to); }

int unlinkat(int folder, const char *path, int flags) {
    DO(fate_of_path("unlink", folder, path), trace_path_of("unlink", folder, path, "", done_), SYS_unlinkat, folder, path, flags);
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int ftruncate64(int file, off64_t length) {
    char size[32];
    snprintf(size, sizeof size, "%lld", (long long)length);
    DO(fate_of_file("truncate", file), trace_file("truncate", file, size, NULL, done_), SYS_ftruncate, file, length);
}

int ftruncate(int file, off_t length) { return ftruncate64(file, length); }

int mkdirat(int folder, const char *path, mode_t mode) {
    DO(fate_of_path("mkdir", folder, path), trace_path_of("mkdir", folder, path, "", done_), SYS_mkdirat, folder, path, mode);
}

int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
