/* Where the table of a program's stack frames lies: what GCC's unwinder asks glibc, answered for a static program
 * with musl. */
#define _GNU_SOURCE
#include <link.h>

/* As glibc has it, up to what is reserved. */
struct dl_find_object {
    unsigned long long flags;
    void *map_start, *map_end;
    struct link_map *link_map;
    void *eh_frame;
};

struct search {
    char *address;
    struct dl_find_object *found;
};

static int look(struct dl_phdr_info *object, size_t size, void *data) {
    struct search *search = data;
    char *start = 0, *end = 0;
    void *frames = 0;
    (void)size;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        char *begin = (char *)object->dlpi_addr + part->p_vaddr;
        if (part->p_type == PT_GNU_EH_FRAME)
            frames = begin;
        if (part->p_type == PT_LOAD && search->address >= begin && search->address < begin + part->p_memsz)
            start = begin, end = begin + part->p_memsz;
    }
    if (!start || !frames)
        return 0;
    *search->found = (struct dl_find_object){ 0, start, end, 0, frames };
    return 1;
}

int _dl_find_object(void *address, struct dl_find_object *found) {
    struct search search = { address, found };
    return dl_iterate_phdr(look, &search) ? 0 : -1;
}
