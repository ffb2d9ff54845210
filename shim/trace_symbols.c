/* SPDX-License-Identifier: MIT */
/* Both libraries are loaded with RTLD_LOCAL, and only when --trace is on: libunwind exports the _Unwind_*
 * functions of the C++ runtime, and a preloaded library that depended on it would put those before libgcc's in
 * every program; libdw brings two decompressors along. */

#define UNW_LOCAL_ONLY
#include "trace_symbols.h"
#include "libc.h"
#include <dlfcn.h>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <libunwind.h>

#define LIBUNWIND "libunwind.so.8"
#define LIBDW "libdw.so.1"

#define STR_(x) #x
#define STR(x) STR_(x)

#define UNW_FUNCTIONS(F)                                                                                               \
    F(backtrace, unw_backtrace) F(getcontext, unw_tdep_getcontext) F(init_local, unw_init_local)                      \
    F(set_reg, unw_set_reg) F(get_proc_name, unw_get_proc_name) F(get_proc_info, unw_get_proc_info)
#define DW_FUNCTIONS(F)                                                                                                \
    F(dwfl_begin) F(dwfl_end) F(dwfl_report_begin) F(dwfl_report_elf) F(dwfl_report_end) F(dwfl_addrmodule)           \
    F(dwfl_module_addrdie) F(dwfl_module_addrinfo) F(dwfl_module_getsrc) F(dwfl_module_getdwarf) F(dwfl_lineinfo)     \
    F(dwfl_build_id_find_elf) F(dwfl_build_id_find_debuginfo) F(dwarf_getscopes) F(dwarf_getscopes_die)               \
    F(dwarf_dieoffset) F(dwarf_offdie) F(dwarf_diename) F(dwarf_tag) F(dwarf_attr) F(dwarf_attr_integrate)            \
    F(dwarf_formudata) F(dwarf_formstring) F(dwarf_getsrcfiles) F(dwarf_filesrc)

static struct {
#define F(name, function) __typeof__(&function) name;
    UNW_FUNCTIONS(F)
#undef F
} unw;
static struct {
#define F(name) __typeof__(&name) name;
    DW_FUNCTIONS(F)
#undef F
} dw;

static Dwfl *dwfl; /* NULL: no libdw, or it cannot read the library */
/* Made by the linker: where this library's image begins, and where its code ends. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char etext[] __attribute__((visibility("hidden")));

/* ---- loading ------------------------------------------------------------------------------------------------ */

static bool load_unwind(void)
{
    void *lib = dlopen(LIBUNWIND, RTLD_NOW | RTLD_LOCAL);
    bool all = lib != NULL;

#define F(name, function) all = all && (unw.name = (__typeof__(unw.name))dlsym(lib, STR(function))) != NULL;
    UNW_FUNCTIONS(F)
#undef F
    return all;
}

static bool load_dw(void)
{
    void *lib = dlopen(LIBDW, RTLD_NOW | RTLD_LOCAL);
    bool all = lib != NULL;

#define F(name) all = all && (dw.name = (__typeof__(dw.name))dlsym(lib, #name)) != NULL;
    DW_FUNCTIONS(F)
#undef F
    return all;
}

/* The library's own file is all that libdw has to know: frames outside it are not printed. */
static bool open_debug_info(void)
{
    static char *no_path = NULL;
    static Dwfl_Callbacks callbacks = {.debuginfo_path = &no_path};
    Dl_info info;
    Dwarf_Addr bias;
    Dwfl_Module *mod;

    /* (Not dwfl_standard_find_debuginfo: that one would ask debuginfod, over the network.) */
    callbacks.find_elf = dw.dwfl_build_id_find_elf;
    callbacks.find_debuginfo = dw.dwfl_build_id_find_debuginfo;
    if (!dladdr(__ehdr_start, &info) || !(dwfl = dw.dwfl_begin(&callbacks)))
        return false;
    dw.dwfl_report_begin(dwfl);
    mod = dw.dwfl_report_elf(dwfl, "libsluice.so", info.dli_fname, -1, (GElf_Addr)__ehdr_start, false);
    dw.dwfl_report_end(dwfl, NULL, NULL);
    if (mod && dw.dwfl_module_getdwarf(mod, &bias)) {
        dw.dwfl_module_getsrc(mod, (Dwarf_Addr)trace_symbols_open); /* now, not under the first packet */
        return true;
    }
    if (!mod) {
        dw.dwfl_end(dwfl);
        dwfl = NULL;
    }
    return false;
}

int trace_symbols_open(char *why, size_t len)
{
    *why = 0;
    if (!unw.backtrace && !load_unwind()) {
        snprintf(why, len, "%s cannot be loaded, so there are no call stacks and --trace does nothing; "
                 "install the package libunwind8", LIBUNWIND);
        return -ENOENT;
    }
    if (!dw.dwfl_begin && !load_dw()) {
        dw.dwfl_begin = NULL;
        snprintf(why, len, "%s cannot be loaded, so --trace shows functions without file and line, and no inlined "
                 "ones; install the package libdw1", LIBDW);
    } else if (!dwfl && !open_debug_info()) {
        snprintf(why, len, "libsluice.so has no debugging information (was it stripped?), so --trace shows no file "
                 "and line, and no inlined functions; use the one that make has built");
    }
    return 0;
}

/* ---- addresses ----------------------------------------------------------------------------------------------- */

__attribute__((noinline)) int trace_unwind(void **ip, int max) { return unw.backtrace(ip, max); }

bool trace_in_library(const void *ip) { return (const char *)ip >= __ehdr_start && (const char *)ip < etext; }

/* "libcurl.so.4+0x1a2b", to look up with addr2line. */
static void name_by_module(void *ip, char *buf, size_t len)
{
    Dl_info info;
    const char *base;

    if (!dladdr(ip, &info) || !info.dli_fname || !*info.dli_fname) {
        snprintf(buf, len, "%p", ip);
        return;
    }
    base = strrchr(info.dli_fname, '/');
    base = base ? base + 1 : info.dli_fname;
    snprintf(buf, len, "%s+0x%lx", base, (unsigned long)((char *)ip - (char *)info.dli_fbase));
}

/* By libunwind, which reads the symbol table of the library or program. The cursor is asked about an address of our
 * choice: the one it holds belongs to the context, not to a stack. False: there is no symbol of this function. */
static bool name_by_unwind(void *ip, char *func, size_t len)
{
    unw_context_t uc;
    unw_cursor_t cursor;
    unw_proc_info_t info;
    unw_word_t off;

    unw.getcontext(&uc);
    if (unw.init_local(&cursor, &uc) || unw.set_reg(&cursor, UNW_REG_IP, (unw_word_t)ip) ||
        unw.get_proc_name(&cursor, func, len, &off) || unw.get_proc_info(&cursor, &info) ||
        (unw_word_t)ip - off != info.start_ip) /* stripped: the name is another function's */
        return false;
    func[strcspn(func, ".")] = 0; /* tcp_ack.part.0 */
    return true;
}

char *trace_address_name(void *ip, char *buf, size_t len)
{
    char func[72], where[200];

    name_by_module(ip, where, sizeof(where));
    if (name_by_unwind((char *)ip - 1, func, sizeof(func)))
        snprintf(buf, len, "%s() at %s", func, where);
    else
        snprintf(buf, len, "%s", where);
    return buf;
}

/* ---- functions, files, lines ------------------------------------------------------------------------------------ */

/* "DIR/shim/../stack/core/dst.h", DIR being where the compiler ran: "stack/core/dst.h". */
static void set_file(struct trace_frame *f, const char *path, const char *comp_dir)
{
    size_t n = comp_dir ? strlen(comp_dir) : 0, end;
    char *up, *slash;

    if (!path)
        return;
    if (n && !strncmp(path, comp_dir, n) && path[n] == '/')
        path += n + 1;
    while (!strncmp(path, "./", 2))
        path += 2;
    snprintf(f->file, sizeof(f->file), "%s", path);
    while ((up = strstr(f->file, "/../")) != NULL) {
        *up = 0;
        slash = strrchr(f->file, '/');
        end = slash ? (size_t)(slash - f->file) + 1 : 0;
        memmove(f->file + end, up + 4, strlen(up + 4) + 1);
    }
}

static const char *die_string(Dwarf_Die *die, unsigned name)
{
    Dwarf_Attribute a;

    return dw.dwarf_attr(die, name, &a) ? dw.dwarf_formstring(&a) : NULL;
}

static u32 die_number(Dwarf_Die *die, unsigned name)
{
    Dwarf_Attribute a;
    Dwarf_Word v;

    return dw.dwarf_attr(die, name, &a) && !dw.dwarf_formudata(&a, &v) ? (u32)v : 0;
}

static void set_name(struct trace_frame *f, Dwarf_Die *die)
{
    Dwarf_Attribute a;
    const char *name = dw.dwarf_attr_integrate(die, DW_AT_name, &a) ? dw.dwarf_formstring(&a) : NULL;

    snprintf(f->func, sizeof(f->func), "%s", name ? name : "?");
}

/* The concrete scopes around pc, innermost first: each inlined call in its caller. (dwarf_getscopes() follows an
 * inlined function to where it was written instead, so its innermost scope is looked up anew.) */
static int concrete_scopes(Dwfl_Module *mod, Dwarf_Die *cu, Dwarf_Addr pc, Dwarf_Die **scopes)
{
    Dwarf_Addr bias;
    Dwarf_Die inner;
    Dwarf_Off off;
    int n = dw.dwarf_getscopes(cu, pc, scopes);

    if (n <= 0)
        return 0;
    off = dw.dwarf_dieoffset(*scopes);
    free(*scopes);
    *scopes = NULL;
    if (!dw.dwarf_offdie(dw.dwfl_module_getdwarf(mod, &bias), off, &inner))
        return 0;
    return dw.dwarf_getscopes_die(&inner, scopes);
}

static int by_dwarf(Dwfl_Module *mod, Dwarf_Addr pc, struct trace_frame *frames, int max)
{
    Dwarf_Addr bias;
    Dwarf_Die *cu = dw.dwfl_module_addrdie(mod, pc, &bias), *scopes = NULL;
    Dwarf_Files *files = NULL;
    Dwfl_Line *where = dw.dwfl_module_getsrc(mod, pc);
    const char *comp_dir, *file = NULL;
    int n, found = 0, line = 0;
    bool done = false;

    if (!cu)
        return 0;
    comp_dir = die_string(cu, DW_AT_comp_dir);
    if (where)
        file = dw.dwfl_lineinfo(where, NULL, &line, NULL, NULL, NULL);
    if (dw.dwarf_getsrcfiles(cu, &files, NULL))
        files = NULL;
    n = concrete_scopes(mod, cu, pc - bias, &scopes);
    for (int i = 0; i < n && found < max && !done; i++) {
        int tag = dw.dwarf_tag(&scopes[i]);
        struct trace_frame *f = &frames[found];

        if (tag != DW_TAG_inlined_subroutine && tag != DW_TAG_subprogram)
            continue;
        *f = (struct trace_frame){.line = (u32)line, .inlined = tag == DW_TAG_inlined_subroutine};
        set_name(f, &scopes[i]);
        set_file(f, file, comp_dir);
        found++;
        done = tag == DW_TAG_subprogram;
        if (!done) { /* where its caller called it */
            line = (int)die_number(&scopes[i], DW_AT_call_line);
            file = files ? dw.dwarf_filesrc(files, die_number(&scopes[i], DW_AT_call_file), NULL, NULL) : NULL;
        }
    }
    free(scopes);
    return done ? found : 0;
}

int trace_symbolize(void *ip, struct trace_frame *frames, int max)
{
    Dwarf_Addr pc = (Dwarf_Addr)ip - 1; /* in the call, not behind it */
    Dwfl_Module *mod = dwfl ? dw.dwfl_addrmodule(dwfl, pc) : NULL;
    const char *name;
    GElf_Off off;
    GElf_Sym sym;
    int n = mod ? by_dwarf(mod, pc, frames, max) : 0;

    if (n)
        return n;
    frames[0] = (struct trace_frame){0};
    name = mod ? dw.dwfl_module_addrinfo(mod, pc, &off, &sym, NULL, NULL, NULL) : NULL;
    if (name && off < sym.st_size) /* else it is the nearest one before */
        snprintf(frames[0].func, sizeof(frames[0].func), "%.*s", (int)strcspn(name, "."), name);
    else if (!name_by_unwind((void *)pc, frames[0].func, sizeof(frames[0].func)))
        name_by_module((void *)pc, frames[0].func, sizeof(frames[0].func));
    return 1;
}
