// Headers of GCC 11 and later call a function that libstdc++ has only since GCC 11 (GLIBCXX_3.4.29);
// Enterprise Linux 8 ships that of GCC 8. Defined here, hidden, so that one build loads on both.
#include <cstdlib>

namespace std {  // NOLINT(cert-dcl58-cpp): the name is what the headers call

[[noreturn]] void __throw_bad_array_new_length();  // NOLINT(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)
void __throw_bad_array_new_length() { abort(); }   // NOLINT(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)

}  // namespace std
