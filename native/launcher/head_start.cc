// The plan is a list of words, each ended by a null byte: version, identity of the job response file, path of jacamar,
// uid, gid, groups, whether new privileges are given up ("1"), then the environment. It holds for the job whose
// response file it names, as the kernel knows it: the token in that file was verified when the plan was written, and a
// change would show in ctime.

#include "head_start.hh"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "../credentials/credentials.hh"
#include "trusted_path.hh"

namespace jacamar {
namespace {

using std::string_view;
using Words = std::vector<std::string>;

constexpr string_view version = "head start 1";
constexpr std::size_t words_before_environment = 7;
constexpr std::size_t longest_plan = std::size_t{256} * 1024;

/// Empty when the file is too long or does not end with a whole word.
[[nodiscard]] Words read_words(int plan) {
  std::string text(longest_plan, '\0');
  const ssize_t length = pread(plan, text.data(), text.size(), 0);
  if (length <= 0 || length == static_cast<ssize_t>(longest_plan)) return {};
  text.resize(static_cast<std::size_t>(length));
  if (text.back() != '\0') return {};
  Words words;
  for (std::size_t begin = 0; begin < text.size(); begin = text.find('\0', begin) + 1) {
    words.emplace_back(text.c_str() + begin);
  }
  return words;
}

[[nodiscard]] std::string identity_of(const char* file) {
  struct stat status {};
  if (lstat(file, &status) != 0 || !S_ISREG(status.st_mode) || status.st_uid != 0) return {};
  constexpr long long billion = 1'000'000'000;
  const long long changed = status.st_ctim.tv_sec * billion + status.st_ctim.tv_nsec;
  return std::to_string(status.st_dev) + ' ' + std::to_string(status.st_ino) + ' ' + std::to_string(status.st_size) +
         ' ' + std::to_string(changed);
}

/// Where the config stage left its plan: in the directory that the runner made for this job, and removes with it.
[[nodiscard]] std::string beside(string_view response) {
  return std::string(response.substr(0, response.rfind('/') + 1)) + "jacamar-head-start";
}

[[nodiscard]] std::optional<std::uint32_t> to_number(string_view text) {
  std::uint32_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, number);
  if (text.empty() || error != std::errc{} || stopped != end) return std::nullopt;
  return number;
}

[[nodiscard]] std::optional<std::vector<gid_t>> to_groups(string_view text) {
  std::vector<gid_t> groups;
  while (!text.empty()) {
    const auto end = std::min(text.find(' '), text.size());
    const auto number = to_number(text.substr(0, end));
    if (!number) return std::nullopt;
    groups.push_back(*number);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return groups;
}

[[nodiscard]] std::optional<Credentials> credentials_in(const Words& words) {
  const auto uid = to_number(words[3]);
  const auto gid = to_number(words[4]);
  auto groups = to_groups(words[5]);
  if (!uid || !gid || !groups) return std::nullopt;
  return Credentials{*uid, *gid, *std::move(groups)};
}

/// A run stage's name becomes an argument of jacamar, as jacamar-auth would pass it on.
[[nodiscard]] bool is_run_stage(string_view name) {
  constexpr string_view harmless = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
  const bool bounded = !name.empty() && name.size() <= 64;
  return bounded && name.front() != '-' && name.find_first_not_of(harmless) == string_view::npos;
}

/// What jacamar is told to do, by the runner's call of jacamar-auth; empty for all calls that get no head start.
[[nodiscard]] Words stage_arguments(char** arguments) {
  Words given(arguments + 1, std::find(arguments + 1, arguments + 5, nullptr));
  if (given == Words{"prepare"}) return given;
  if (given.size() == 3 && given[0] == "run" && given[1].starts_with('/') && is_run_stage(given[2]))
    return {"run", "env-script", given[2]};
  return {};
}

[[nodiscard]] std::optional<Plan> plan_from(const Words& words, const std::string& jacamar, Words stage) {
  auto credentials = credentials_in(words);
  if (!credentials) return std::nullopt;
  Plan plan;
  plan.file = jacamar;
  plan.argv = {jacamar, "--no-auth"};
  plan.argv.insert(plan.argv.end(), stage.begin(), stage.end());
  plan.env.assign(words.begin() + words_before_environment, words.end());
  plan.cwd = "/";
  plan.credentials = std::move(credentials);
  plan.death_signal = SIGTERM;
  plan.no_new_privileges = words[6] == "1";
  plan.new_session = true;
  return plan;
}

/// The plan, if it is root's and made for this job.
[[nodiscard]] std::optional<Plan> follow(int file, const char* response, const std::string& jacamar, Words stage) {
  const auto words = read_words(file);
  if (words.size() < words_before_environment || words[0] != version || words[1].empty()) return std::nullopt;
  if (words[1] != identity_of(response) || words[2] != jacamar) return std::nullopt;
  return plan_from(words, jacamar, std::move(stage));
}

/// Our end of the channel stays open for the runtime; theirs goes.
[[nodiscard]] std::optional<HeadStart> start(Plan& plan, int file) {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) != 0) return std::nullopt;
  if (fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) return std::nullopt;
  plan.stdio = {ends[1], 1, 2};
  const auto started = launch(plan);
  close(ends[1]);
  if (const auto* jacamar = std::get_if<pid_t>(&started)) return HeadStart{*jacamar, ends[0], file};
  close(ends[0]);
  return std::nullopt;
}

/// Jobs of others are not started from somebody's terminal; jacamar-auth will say so.
[[nodiscard]] bool on_terminal() { return isatty(0) != 0 || isatty(1) != 0 || isatty(2) != 0; }

}  // namespace

std::optional<HeadStart> start_ahead(const std::string& prefix, char** arguments) {
  const char* response = std::getenv("JOB_RESPONSE_FILE");
  if (response == nullptr || *response != '/' || geteuid() != 0 || on_terminal()) return std::nullopt;
  auto stage = stage_arguments(arguments);
  const auto jacamar = prefix + "/bin/jacamar";
  if (stage.empty() || distrust(jacamar, Trust::root_only)) return std::nullopt;
  const auto opened = open_trusted(beside(response), O_RDONLY | O_NONBLOCK, Trust::root_only);
  const int* file = std::get_if<int>(&opened);
  if (file == nullptr) return std::nullopt;
  auto plan = follow(*file, response, jacamar, std::move(stage));
  const bool inheritable = fcntl(*file, F_SETFD, 0) == 0;
  auto started = plan && inheritable ? start(*plan, *file) : std::nullopt;
  if (!started) close(*file);
  return started;
}

}  // namespace jacamar
