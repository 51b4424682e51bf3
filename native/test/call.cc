// Makes one system call as a job could and prints its errno, for tests of filters. The first argument is a name of
// this table, with x32: or i386: in front for the call's number of that kind; then up to three numbers.

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace {

struct Call {
  std::string_view name;
  long native;
  long i386;
};
constexpr long io_uring_setup = 425;  // everywhere; headers of older systems lack it
constexpr std::array calls{
    Call{"getppid", SYS_getppid, 64},         Call{"ioctl", SYS_ioctl, 54},
    Call{"setuid", SYS_setuid, 213},          Call{"setgid", SYS_setgid, 214},
    Call{"setreuid", SYS_setreuid, 203},      Call{"setregid", SYS_setregid, 204},
    Call{"setresuid", SYS_setresuid, 208},    Call{"setresgid", SYS_setresgid, 210},
    Call{"setfsuid", SYS_setfsuid, 215},      Call{"setfsgid", SYS_setfsgid, 216},
    Call{"getpriority", SYS_getpriority, 96}, Call{"io_uring_setup", io_uring_setup, io_uring_setup},
};

[[nodiscard]] bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

/// 0 or the errno.
[[nodiscard]] long make_i386([[maybe_unused]] long number) {
#ifdef __x86_64__
  long result = number;
  __asm__ volatile("int $0x80" : "+a"(result) : "b"(0L), "c"(0L), "d"(0L) : "memory", "r8", "r9", "r10", "r11");
  return result < 0 ? -result : 0;
#else
  return ENOSYS;
#endif
}

}  // namespace

int main(int argc, char** argv) {
  std::string_view name = argc > 1 ? argv[1] : "";
  const bool i386 = take(name, "i386:");
  constexpr long x32_bit = 0x40000000;
  const long kind = take(name, "x32:") ? x32_bit : 0;
  std::array<unsigned long, 3> arguments{};
  for (int i = 2; i < argc && i < 5; ++i) {
    arguments.at(static_cast<std::size_t>(i) - 2) = std::strtoul(argv[i], nullptr, 0);
  }
  for (const auto& call : calls) {
    if (call.name != name) continue;
    errno = 0;
    const auto& [first, second, third] = arguments;
    const long error =
        i386 ? make_i386(call.i386) : (syscall(call.native | kind, first, second, third) < 0 ? errno : 0);
    std::printf("%ld\n", error);
    return 0;
  }
  return 99;
}
