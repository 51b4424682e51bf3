// N-API adapter of the privileged interface: check, convert, call, convert back. No decision is made here.
// Its exports are typed, one for one, in src/jacamar-auth/credentials.ts.

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <memory>
#include <utility>

#include "../support/arguments.hh"
#include "credentials.hh"

namespace {

using Napi::CallbackInfo;
using Napi::Env;
using Napi::Object;
using Napi::Value;

[[nodiscard]] Napi::Error error_of(Env env, const jacamar::Failure& failure) {
  const auto text = jacamar::text_of(failure.step);
  return jacamar::system_error(env, text.step, text.call, failure.error);
}

void check(Env env, const jacamar::Outcome& outcome) {
  if (outcome) throw error_of(env, *outcome);
}

using jacamar::to_list;
using jacamar::to_object;

[[nodiscard]] id_t to_id(const Value& value, const std::string& name) {
  return jacamar::to_integer<id_t>(value, name, 0, UINT32_MAX);
}

[[nodiscard]] jacamar::Credentials to_credentials(const Object& from) {
  return {to_id(from.Get("uid"), "uid"), to_id(from.Get("gid"), "gid"),
          to_list<gid_t>(from.Get("groups"), "groups", to_id)};
}

/// The bytes that the filter compiler made. The kernel judges the instructions.
[[nodiscard]] std::vector<sock_filter> to_filter(const Value& value) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throw Napi::TypeError::New(value.Env(), "seccompFilter must be a Uint8Array");
  }
  const auto bytes = value.As<Napi::Uint8Array>();
  const std::size_t size = bytes.ByteLength();
  if (size == 0 || size % sizeof(sock_filter) != 0 || size / sizeof(sock_filter) > BPF_MAXINSNS) {
    throw Napi::RangeError::New(value.Env(), "seccompFilter has no possible length");
  }
  std::vector<sock_filter> filter(size / sizeof(sock_filter));
  std::memcpy(filter.data(), bytes.Data(), size);
  return filter;
}

[[nodiscard]] jacamar::Plan to_plan(const Object& from) {
  jacamar::Plan plan;
  const Value file = from.Get("file");
  if (file.IsNumber()) plan.descriptor = jacamar::to_descriptor(file, "file");
  if (!file.IsNumber()) plan.file = jacamar::to_text(file, "file");
  plan.argv = to_list<std::string>(from.Get("argv"), "argv", jacamar::to_text);
  plan.env = to_list<std::string>(from.Get("env"), "env", jacamar::to_text);
  plan.cwd = jacamar::to_text(from.Get("cwd"), "cwd");
  const auto stdio = to_list<int>(from.Get("stdio"), "stdio", jacamar::to_descriptor);
  if (stdio.size() != 3) throw Napi::RangeError::New(from.Env(), "stdio must hold three descriptors");
  std::copy(stdio.begin(), stdio.end(), plan.stdio.begin());
  const Value credentials = from.Get("credentials");
  if (!credentials.IsUndefined()) plan.credentials = to_credentials(to_object(credentials, "credentials"));
  plan.umask = jacamar::to_integer<mode_t>(from.Get("umask"), "umask", 0, 0777);
  plan.death_signal = jacamar::to_integer<int>(from.Get("deathSignal"), "deathSignal", 0, 64);
  plan.no_new_privileges = jacamar::to_boolean(from.Get("noNewPrivileges"), "noNewPrivileges");
  plan.new_session = jacamar::to_boolean(from.Get("newSession"), "newSession");
  const Value filter = from.Get("seccompFilter");
  if (!filter.IsUndefined()) plan.seccomp_filter = to_filter(filter);
  return plan;
}

Value launch(const CallbackInfo& info) {
  jacamar::expect_arguments(info, 1);
  jacamar::Plan plan = to_plan(to_object(info[0], "plan"));
  const auto result = jacamar::launch(plan);
  if (const auto* failure = std::get_if<jacamar::Failure>(&result)) throw error_of(info.Env(), *failure);
  return Napi::Number::New(info.Env(), *std::get_if<pid_t>(&result));
}

[[nodiscard]] Value to_value(Env env, const jacamar::Account& account) {
  Object object = Object::New(env);
  object.Set("name", account.name);
  object.Set("uid", account.uid);
  object.Set("gid", account.gid);
  object.Set("home", account.home);
  object.Set("shell", account.shell);
  auto groups = Napi::Array::New(env, account.groups.size());
  for (std::uint32_t i = 0; i < account.groups.size(); ++i) groups.Set(i, account.groups[i]);
  object.Set("groups", groups);
  return object;
}

[[nodiscard]] Value to_value(Env env, gid_t gid) { return Napi::Number::New(env, gid); }

template <typename Found>
using LookUp = jacamar::Result<std::optional<Found>>;

template <typename Found>
void settle(Env env, const Napi::Promise::Deferred& deferred, const LookUp<Found>& result) {
  const auto* found = std::get_if<std::optional<Found>>(&result);
  if (found == nullptr) return deferred.Reject(error_of(env, *std::get_if<jacamar::Failure>(&result)).Value());
  deferred.Resolve(*found ? to_value(env, **found) : env.Undefined());
}

template <typename Found>
struct LookUpTask {
  std::string name;
  Napi::ThreadSafeFunction done;
  Napi::Promise::Deferred deferred;
  LookUp<Found> (*ask)(const std::string&) noexcept;
  LookUp<Found> result{};
};

template <typename Found>
void run_look_up(void* argument) {
  std::unique_ptr<LookUpTask<Found>> task(static_cast<LookUpTask<Found>*>(argument));
  task->result = task->ask(task->name);
  auto done = task->done;
  const auto hand_over = [](Env env, const Napi::Function&, LookUpTask<Found>* finished) {
    const std::unique_ptr<LookUpTask<Found>> owned(finished);
    settle(env, owned->deferred, owned->result);
  };
  if (done.BlockingCall(task.get(), hand_over) == napi_ok) static_cast<void>(task.release());
  done.Release();
}

// A thread of its own, not the pool's (Napi::AsyncWorker): at exit Node waits for every busy thread of the
// pool, so a name service that hangs would keep a process from ending that has long given it up.
template <typename Found>
Value look_up(const CallbackInfo& info, LookUp<Found> (*ask)(const std::string&) noexcept) {
  jacamar::expect_arguments(info, 1);
  const Env env = info.Env();
  std::string name = jacamar::to_text(info[0], "name");  // throws, so before there is anything to release
  auto done = Napi::ThreadSafeFunction::New(env, Napi::Function(), "lookUp", 1, 1);
  auto task = std::make_unique<LookUpTask<Found>>(
      LookUpTask<Found>{std::move(name), done, Napi::Promise::Deferred::New(env), ask});
  const auto promise = task->deferred.Promise();
  uv_thread_t thread{};
  const int error = uv_thread_create(&thread, run_look_up<Found>, task.get());
  if (error != 0) {
    done.Release();
    throw jacamar::system_error(env, "start a thread", "pthread_create", -error);
  }
  static_cast<void>(task.release());
  return promise;
}

Value look_up_account(const CallbackInfo& info) { return look_up<jacamar::Account>(info, jacamar::look_up_account); }
Value look_up_group(const CallbackInfo& info) { return look_up<gid_t>(info, jacamar::look_up_group); }

Value wait_for(const CallbackInfo& info) {
  jacamar::expect_arguments(info, 1);
  const auto pid = jacamar::to_integer<pid_t>(info[0], "pid", 2, INT32_MAX);
  int status = 0;
  pid_t ended = -1;
  do {
    ended = waitpid(pid, &status, WNOHANG);
  } while (ended < 0 && errno == EINTR);
  if (ended < 0) throw jacamar::system_error(info.Env(), "wait for a child", "waitpid", errno);
  if (ended == 0) return info.Env().Undefined();
  Object result = Object::New(info.Env());
  if (WIFEXITED(status)) result.Set("exitCode", WEXITSTATUS(status));
  if (WIFSIGNALED(status)) result.Set("signal", WTERMSIG(status));
  return result;
}

/// Never -1, 0 or 1: everything we may signal, our own group, init.
Value send_signal(const CallbackInfo& info) {
  jacamar::expect_arguments(info, 2);
  const auto pid = jacamar::to_integer<pid_t>(info[0], "pid", -INT32_MAX, INT32_MAX);
  if (pid >= -1 && pid <= 1) throw Napi::RangeError::New(info.Env(), "pid is out of range");
  const int number = jacamar::to_integer<int>(info[1], "signal", 0, 64);
  if (kill(pid, number) != 0) throw jacamar::system_error(info.Env(), "send a signal", "kill", errno);
  return info.Env().Undefined();
}

Value socket_pair(const CallbackInfo& info) {
  int ends[2];
  const bool opened = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0;
  if (opened && fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0) return jacamar::to_pair(info.Env(), ends);
  throw jacamar::system_error(info.Env(), "open a socket pair", "socketpair", errno);
}

Value open_pipe(const CallbackInfo& info) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) == 0) return jacamar::to_pair(info.Env(), ends);
  throw jacamar::system_error(info.Env(), "open a pipe", "pipe2", errno);
}

/// Output is written by system calls, so nothing waits to be flushed.
Value exit_at_once(const CallbackInfo& info) {
  jacamar::expect_arguments(info, 1);
  _exit(jacamar::to_integer<int>(info[0], "code", 0, 255));
}

Value harden(const CallbackInfo& info) {
  check(info.Env(), jacamar::harden());
  return info.Env().Undefined();
}

Value write_syslog(const CallbackInfo& info) {
  jacamar::expect_arguments(info, 2);
  const int priority = jacamar::to_integer<int>(info[0], "priority", 0, 7);
  check(info.Env(), jacamar::write_syslog(_PATH_LOG, priority, jacamar::to_text(info[1], "text")));
  return info.Env().Undefined();
}

[[nodiscard]] Value to_hexadecimal(Env env, std::uint64_t set) {
  std::string digits(16, '0');
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit, set >>= 4U)
    *digit = "0123456789abcdef"[set & 15U];
  return Napi::String::New(env, digits);
}

Value capabilities(const CallbackInfo& info) {
  const auto result = jacamar::capabilities();
  if (const auto* failure = std::get_if<jacamar::Failure>(&result)) throw error_of(info.Env(), *failure);
  const auto& sets = *std::get_if<jacamar::Capabilities>(&result);
  Object object = Object::New(info.Env());
  object.Set("permitted", to_hexadecimal(info.Env(), sets.permitted));
  object.Set("effective", to_hexadecimal(info.Env(), sets.effective));
  object.Set("ambient", to_hexadecimal(info.Env(), sets.ambient));
  return object;
}

Object initialize(Env env, Object exports) {
  if (syscall(SYS_gettid) != getpid()) throw Napi::Error::New(env, "credentials: only for the main thread");
  exports.Set("lookUpAccount", Napi::Function::New<look_up_account>(env, "lookUpAccount"));
  exports.Set("lookUpGroup", Napi::Function::New<look_up_group>(env, "lookUpGroup"));
  exports.Set("launch", Napi::Function::New<launch>(env, "launch"));
  exports.Set("wait", Napi::Function::New<wait_for>(env, "wait"));
  exports.Set("signal", Napi::Function::New<send_signal>(env, "signal"));
  exports.Set("socketPair", Napi::Function::New<socket_pair>(env, "socketPair"));
  exports.Set("pipe", Napi::Function::New<open_pipe>(env, "pipe"));
  exports.Set("exit", Napi::Function::New<exit_at_once>(env, "exit"));
  exports.Set("harden", Napi::Function::New<harden>(env, "harden"));
  exports.Set("syslog", Napi::Function::New<write_syslog>(env, "syslog"));
  exports.Set("capabilities", Napi::Function::New<capabilities>(env, "capabilities"));
  return exports;
}

}  // namespace

NODE_API_MODULE(credentials, initialize)
