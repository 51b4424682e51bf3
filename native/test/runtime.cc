// Stands in for libexec/jacamar-runtime in launcher tests: writes how it was started, one fact a line, to the
// file named by its first argument ("-": stdout), and ends with the number in the second.

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

void list_descriptors(int report) {
  for (int number = 0; number < 1024; ++number) {
    std::array<char, 32> link{};
    std::array<char, 256> target{};
    std::snprintf(link.data(), link.size(), "/proc/self/fd/%d", number);
    if ((number == report && number != 1) || readlink(link.data(), target.data(), target.size() - 1) <= 0) continue;
    dprintf(report, "fd %d %s\n", number, target.data());
  }
}

void copy_status(int report) {
  FILE* status = std::fopen("/proc/self/status", "re");
  std::array<char, 512> line{};
  while (status != nullptr && std::fgets(line.data(), line.size(), status) != nullptr) {
    if (std::strncmp(line.data(), "Cap", 3) == 0 || std::strncmp(line.data(), "Sig", 3) == 0) {
      dprintf(report, "status %s", line.data());
    }
  }
}

}  // namespace

int main(int argc, char** argv, char** environment) {
  const bool to_file = argc > 1 && std::strcmp(argv[1], "-") != 0;
  const int report = to_file ? open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : 1;
  if (report < 0) return 99;
  for (char** argument = argv; *argument != nullptr; ++argument) dprintf(report, "argv %s\n", *argument);
  for (; *environment != nullptr; ++environment) dprintf(report, "env %s\n", *environment);
  list_descriptors(report);
  copy_status(report);
  dprintf(report, "umask %03o\n", umask(0));
  const char* code = argc > 2 ? argv[2] : nullptr;
  return code == nullptr ? 0 : static_cast<int>(std::strtol(code, nullptr, 10));
}
