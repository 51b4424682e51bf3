// What the unprivileged program needs from the kernel and Node lacks: an advisory lock that ends with its
// holder, the orphans of a job and a sure hand on its processes, two soft limits that Node would change or cannot
// raise, a hard one that marks the processes of a job, and the account's disk quota. Imports nothing that changes
// ids or starts programs; a test reads the symbol table to keep it so.

#include <fcntl.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/quota.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "../support/arguments.hh"

namespace {

using Napi::BigInt;
using Napi::Boolean;
using Napi::CallbackInfo;
using Napi::Value;

/// flock(2) and not fcntl locks: those vanish when any descriptor of the file is closed.
Value try_lock(const CallbackInfo& info) {
  jacamar::expect_arguments(info, 1);
  const int descriptor = jacamar::to_descriptor(info[0], "fd");
  int result = -1;
  do {
    result = flock(descriptor, LOCK_EX | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  if (result == 0 || errno == EWOULDBLOCK) return Boolean::New(info.Env(), result == 0);
  throw jacamar::system_error(info.Env(), "take the lock", "flock", errno);
}

Value unlock(const CallbackInfo& info) {
  jacamar::expect_arguments(info, 1);
  if (flock(jacamar::to_descriptor(info[0], "fd"), LOCK_UN) == 0) return info.Env().Undefined();
  throw jacamar::system_error(info.Env(), "release the lock", "flock", errno);
}

Value become_subreaper(const CallbackInfo& info) {
  if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0) return info.Env().Undefined();
  throw jacamar::system_error(info.Env(), "become child subreaper", "prctl", errno);
}

/// One pid only: children that Node started are Node's to wait for.
Value reap(const CallbackInfo& info) {
  jacamar::expect_arguments(info, 1);
  const auto pid = jacamar::to_integer<pid_t>(info[0], "pid", 2, INT32_MAX);
  pid_t reaped = -1;
  do {
    reaped = waitpid(pid, nullptr, WNOHANG);
  } while (reaped < 0 && errno == EINTR);
  if (reaped < 0) throw jacamar::system_error(info.Env(), "reap an orphan", "waitpid", errno);
  return Boolean::New(info.Env(), reaped == pid);
}

/// The kernel's own word, without a race: an orphan becomes ours in the same moment in which its parent ends.
Value has_children(const CallbackInfo& info) {
  siginfo_t found{};
  if (waitid(P_ALL, 0, &found, WEXITED | WNOHANG | WNOWAIT) == 0) return Boolean::New(info.Env(), true);
  if (errno == ECHILD) return Boolean::New(info.Env(), false);
  throw jacamar::system_error(info.Env(), "look for children", "waitid", errno);
}

/// Raw calls, because glibc has these only since 2.36. The kernel makes the descriptor close-on-exec.
Value open_process(const CallbackInfo& info) {
  jacamar::expect_arguments(info, 1);
  const auto pid = jacamar::to_integer<pid_t>(info[0], "pid", 2, INT32_MAX);
  const long descriptor = syscall(SYS_pidfd_open, pid, 0);
  if (descriptor >= 0) return Napi::Number::New(info.Env(), static_cast<double>(descriptor));
  throw jacamar::system_error(info.Env(), "open a process", "pidfd_open", errno);
}

Value signal_process(const CallbackInfo& info) {
  jacamar::expect_arguments(info, 2);
  const int process = jacamar::to_descriptor(info[0], "process");
  const auto signal = jacamar::to_integer<int>(info[1], "signal", 0, 64);
  if (syscall(SYS_pidfd_send_signal, process, signal, nullptr, 0) == 0) return info.Env().Undefined();
  throw jacamar::system_error(info.Env(), "signal a process", "pidfd_send_signal", errno);
}

[[nodiscard]] __rlimit_resource to_resource(const Value& value) {
  const std::string name = jacamar::to_text(value, "resource");
  if (name == "stack") return RLIMIT_STACK;
  if (name == "openFiles") return RLIMIT_NOFILE;
  if (name == "realTime") return RLIMIT_RTTIME;
  throw Napi::RangeError::New(value.Env(), "resource is out of range");
}

[[nodiscard]] rlimit read_limit(Napi::Env env, __rlimit_resource resource) {
  rlimit limit{};
  if (getrlimit(resource, &limit) == 0) return limit;
  throw jacamar::system_error(env, "read a limit", "getrlimit", errno);
}

Value get_limit(const CallbackInfo& info) {
  jacamar::expect_arguments(info, 1);
  const rlimit limit = read_limit(info.Env(), to_resource(info[0]));
  Napi::Object pair = Napi::Object::New(info.Env());
  pair.Set("soft", BigInt::New(info.Env(), std::uint64_t{limit.rlim_cur}));
  pair.Set("hard", BigInt::New(info.Env(), std::uint64_t{limit.rlim_max}));
  return pair;
}

[[nodiscard]] rlim_t to_limit(const Value& value, const char* name) {
  if (!value.IsBigInt()) throw Napi::TypeError::New(value.Env(), std::string(name) + " must be a bigint");
  bool lossless = false;
  const std::uint64_t limit = value.As<BigInt>().Uint64Value(&lossless);
  if (!lossless) throw Napi::RangeError::New(value.Env(), std::string(name) + " is out of range");
  return limit;
}

Value write_limit(Napi::Env env, __rlimit_resource resource, const rlimit& limit) {
  if (setrlimit(resource, &limit) == 0) return env.Undefined();
  throw jacamar::system_error(env, "set a limit", "setrlimit", errno);
}

Value set_soft_limit(const CallbackInfo& info) {
  jacamar::expect_arguments(info, 2);
  const auto resource = to_resource(info[0]);
  const rlim_t soft = to_limit(info[1], "soft");
  return write_limit(info.Env(), resource, {soft, read_limit(info.Env(), resource).rlim_max});
}

Value lower_limit(const CallbackInfo& info) {
  jacamar::expect_arguments(info, 2);
  const auto resource = to_resource(info[0]);
  const rlim_t hard = to_limit(info[1], "hard");
  return write_limit(info.Env(), resource, {std::min(read_limit(info.Env(), resource).rlim_cur, hard), hard});
}

Value open_pipe(const CallbackInfo& info) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) == 0) return jacamar::to_pair(info.Env(), ends);
  throw jacamar::system_error(info.Env(), "open a pipe", "pipe2", errno);
}

#ifndef SYS_quotactl_fd
#define SYS_quotactl_fd 443  // the same on every architecture; headers have it since Linux 5.14
#endif

[[nodiscard]] bool has_quotactl_fd() { return syscall(SYS_quotactl_fd, -1, 0, 0, nullptr) == 0 || errno != ENOSYS; }

/// A file system without quotas answers ENOSYS, too; only a kernel without the call gets the older one, which wants
/// to be told the device.
[[nodiscard]] int read_quota(int directory, const std::string& device, int command, int id, dqblk* found) {
  if (syscall(SYS_quotactl_fd, directory, command, id, found) == 0) return 0;
  const int refusal = errno;
  if (refusal != ENOSYS || has_quotactl_fd()) return refusal;
  return quotactl(command, device.c_str(), id, reinterpret_cast<caddr_t>(found)) == 0 ? 0 : errno;
}

[[nodiscard]] int to_quota_type(const Value& value) {
  const std::string name = jacamar::to_text(value, "type");
  if (name == "user") return USRQUOTA;
  if (name == "group") return GRPQUOTA;
  throw Napi::RangeError::New(value.Env(), "type is out of range");
}

[[nodiscard]] Napi::Object to_usage(Napi::Env env, double used, double soft, double hard, double grace_ends) {
  Napi::Object usage = Napi::Object::New(env);
  usage.Set("used", used);
  usage.Set("soft", soft);
  usage.Set("hard", hard);
  usage.Set("graceEnds", grace_ends);
  return usage;
}

/// Limits on space are counted in units of 1 KiB, use of space in bytes: quotactl(2).
Value get_quota(const CallbackInfo& info) {
  jacamar::expect_arguments(info, 4);
  const int directory = jacamar::to_descriptor(info[0], "directory");
  const std::string device = jacamar::to_text(info[1], "device");
  const int command = QCMD(Q_GETQUOTA, to_quota_type(info[2]));
  const auto id = static_cast<int>(jacamar::to_integer<uid_t>(info[3], "id", 0, UINT32_MAX));
  dqblk found{};
  const int failure = read_quota(directory, device, command, id, &found);
  if (failure != 0) throw jacamar::system_error(info.Env(), "read a quota", "quotactl", failure);
  const auto number = [](auto value) { return static_cast<double>(value); };
  const auto bytes = [](auto blocks) { return static_cast<double>(blocks) * 1024; };
  Napi::Object quota = Napi::Object::New(info.Env());
  quota.Set("bytes", to_usage(info.Env(), number(found.dqb_curspace), bytes(found.dqb_bsoftlimit),
                              bytes(found.dqb_bhardlimit), number(found.dqb_btime)));
  quota.Set("files", to_usage(info.Env(), number(found.dqb_curinodes), number(found.dqb_isoftlimit),
                              number(found.dqb_ihardlimit), number(found.dqb_itime)));
  return quota;
}

/// Output is written by system calls, so nothing waits to be flushed.
Value exit_at_once(const CallbackInfo& info) {
  jacamar::expect_arguments(info, 1);
  _exit(jacamar::to_integer<int>(info[0], "code", 0, 255));
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  exports.Set("tryLock", Napi::Function::New<try_lock>(env, "tryLock"));
  exports.Set("unlock", Napi::Function::New<unlock>(env, "unlock"));
  exports.Set("becomeSubreaper", Napi::Function::New<become_subreaper>(env, "becomeSubreaper"));
  exports.Set("reap", Napi::Function::New<reap>(env, "reap"));
  exports.Set("hasChildren", Napi::Function::New<has_children>(env, "hasChildren"));
  exports.Set("openProcess", Napi::Function::New<open_process>(env, "openProcess"));
  exports.Set("signalProcess", Napi::Function::New<signal_process>(env, "signalProcess"));
  exports.Set("getLimit", Napi::Function::New<get_limit>(env, "getLimit"));
  exports.Set("setSoftLimit", Napi::Function::New<set_soft_limit>(env, "setSoftLimit"));
  exports.Set("lowerLimit", Napi::Function::New<lower_limit>(env, "lowerLimit"));
  exports.Set("pipe", Napi::Function::New<open_pipe>(env, "pipe"));
  exports.Set("getQuota", Napi::Function::New<get_quota>(env, "getQuota"));
  exports.Set("exit", Napi::Function::New<exit_at_once>(env, "exit"));
  return exports;
}

}  // namespace

NODE_API_MODULE(lock, initialize)
