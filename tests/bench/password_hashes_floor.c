/* The floor of bench_password_hashes.py: crypt(3) in a loop, in as many processes as are asked for.

   floor LIBRARY SETTING SECONDS PROCESSES BATCH <WORDS

   Prints hashes a second of processor time, of all processes together; the clock is looked at after each batch of so
   many hashes.
*/
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST_WORDS 100000

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    static char *words[MOST_WORDS];
    char line[256];
    int count = 0, processes, batch, ends[2];
    double seconds, all = 0, one;
    void *library = argc == 6 ? dlopen(argv[1], RTLD_NOW) : NULL;
    char *(*crypt_r)(const char *, const char *, void *) = NULL;

    if (library)
        *(void **)&crypt_r = dlsym(library, "crypt_r");
    if (!crypt_r || pipe(ends))
        return 2;
    seconds = atof(argv[3]);
    processes = atoi(argv[4]);
    batch = atoi(argv[5]);
    while (count < MOST_WORDS && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        words[count++] = strdup(line);
    }
    for (int process = 0; process < processes; process++) {
        if (fork() == 0) {
            void *data = calloc(1, 1 << 18);
            double began = now(), spent = 0;
            long done = 0;
            while (spent < seconds) {
                for (int n = 0; n < batch; n++, done++) {
                    char *got = crypt_r(words[done % count], argv[2], data);
                    if (!got || !strcmp(got, "no hash is this"))
                        exit(1);
                }
                spent = now() - began;
            }
            one = done / spent;
            exit(write(ends[1], &one, sizeof one) != sizeof one);
        }
    }
    for (int process = 0; process < processes; process++) {
        if (read(ends[0], &one, sizeof one) != sizeof one)
            return 1;
        all += one;
    }
    while (wait(NULL) > 0)
        ;
    printf("%f\n", all);
    return 0;
}
