// How the host calls a kernel: through a table of names, with the arguments as an array of pointers to them.
#pragma once

#include <string_view>
#include <type_traits>
#include <utility>

struct EmuParameter {
    unsigned size;         // of the argument itself, in bytes
    char kind;             // 'p' pointer, 'f' floating point, 'i' signed, 'u' unsigned, 'b' bool, 's' anything else,
                           // 'a' CuPy's CArray: begins with a pointer
    char pointee_kind;     // of what a pointer points to: the same letters, 'v' void
    unsigned pointee_size;
};

struct EmuEntry {
    const char *name;
    void (*invoke)(void **arguments);
    const EmuParameter *parameters;
    unsigned parameter_count;
    unsigned max_threads;  // of __launch_bounds__; 0: none
};

// What a compiled module offers (its symbol `emu_module`): its kernels, and where its shared variables lie.
struct EmuModule {
    const EmuEntry *entries;
    unsigned entry_count;
    char *shared_begin, *shared_end;
};

namespace emu {
template <class T>
constexpr bool is_carray() { return std::string_view(__PRETTY_FUNCTION__).find("T = CArray<") != std::string_view::npos; }

template <class T>
constexpr char kind_of() {
    return std::is_void<T>::value                ? 'v'
           : std::is_pointer<T>::value           ? 'p'
           : std::is_same<T, bool>::value        ? 'b'
           : std::is_floating_point<T>::value    ? 'f'
           : std::is_enum<T>::value              ? 'i'
           : is_carray<T>()                      ? 'a'
           : !std::is_integral<T>::value         ? 's'
           : std::is_signed<T>::value            ? 'i'
                                                 : 'u';
}

template <class T>
constexpr unsigned size_of() {
    if constexpr (std::is_void<T>::value || std::is_function<T>::value)
        return 0;
    else
        return sizeof(T);
}

template <class T>
constexpr EmuParameter parameter() {
    using Pointee = std::remove_pointer_t<T>;
    using Plain = std::remove_cv_t<Pointee>;
    return {sizeof(T), kind_of<std::remove_cv_t<T>>(), kind_of<Plain>(), size_of<Plain>()};
}

template <auto kernel>
struct Caller;

template <class... A, void (*kernel)(A...)>
struct Caller<kernel> {
    static constexpr EmuParameter parameters[sizeof...(A) + 1] = {parameter<A>()..., {}};
    static constexpr unsigned count = sizeof...(A);
    template <size_t... I>
    static void spread(void **arguments, std::index_sequence<I...>) {
        kernel(*reinterpret_cast<std::remove_const_t<A> *>(arguments[I])...);
    }
    static void invoke(void **arguments) { spread(arguments, std::index_sequence_for<A...>{}); }
};

template <class... T>
constexpr unsigned first(unsigned value, T...) { return value; }
}  // namespace emu

#define EMU_ENTRY(name, max_threads, ...)                                                             \
    EmuEntry {                                                                                        \
        name, emu::Caller<__VA_ARGS__>::invoke, emu::Caller<__VA_ARGS__>::parameters,                 \
            emu::Caller<__VA_ARGS__>::count, max_threads                                              \
    }
