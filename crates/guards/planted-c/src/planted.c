/* What a real-time half written in C does wrong. Volatile, or the compiler leaves both calls out. */
#include <stdlib.h>

void planted_malloc(void)
{
    void *volatile memory = malloc(16);
    free(memory);
}
