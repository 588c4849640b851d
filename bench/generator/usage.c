/* CPU by the kernel's own books: proc(5), /proc/PID/stat for a process, schedstat of its tasks for waiting. */
#define _GNU_SOURCE
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "gen.h"

static double cpu_of(int pid) {
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = 0;
    char *after = strrchr(text, ')'); /* the name may hold anything */
    unsigned long user = 0, system = 0;
    if (after) sscanf(after + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* 0 where the kernel keeps no such books. */
static double waited_by(int pid) {
    char path[320];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    double total = 0;
    for (struct dirent *task; tasks && (task = readdir(tasks));) {
        unsigned long long waited = 0;
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, task->d_name);
        FILE *file = task->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (!file) continue;
        if (fscanf(file, "%*u %llu", &waited) == 1) total += (double)waited / 1e9;
        fclose(file);
    }
    if (tasks) closedir(tasks);
    return total;
}

struct usage usage_now(void) {
    struct rusage own;
    struct usage usage = {0};
    getrusage(RUSAGE_SELF, &own);
    usage.own = (double)(own.ru_utime.tv_sec + own.ru_stime.tv_sec) +
                (double)(own.ru_utime.tv_usec + own.ru_stime.tv_usec) / 1e6;
    usage.own_waited = waited_by(getpid());
    for (uint32_t i = 0; i < plan.pid_count; i++) {
        usage.servers += cpu_of(plan.pids[i]);
        usage.servers_waited += waited_by(plan.pids[i]);
    }
    return usage;
}
