// The drop: exact credentials, no capability, no way back; and that each step really is taken by its turn.

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstddef>

#include "check.hh"
#include "child.hh"

namespace {

using jacamar::Step;
using test::account;
using test::failed_at;
using test::in_child;
using test::output_of;
using test::run;
using test::shell_plan;

constexpr auto ids = "exec grep -E '^(Uid|Gid|Groups)' /proc/self/status";
constexpr auto capability_sets = "exec grep -E '^Cap(Inh|Prm|Eff|Amb)' /proc/self/status";
constexpr auto no_capabilities =
    "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapAmb:\t0000000000000000\n";

/// From here on the given system call answers `error` without being made, in this process and its children.
bool sabotage(long call, unsigned error) {
  std::array<sock_filter, 4> program{{
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, static_cast<unsigned>(call)},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | error},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  }};
  const sock_fprog filter{program.size(), program.data()};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0;
}

/// Ids become those of an ordinary service account that holds the two capabilities, as with file capabilities.
bool become_capable_service() {
  constexpr std::uint32_t wanted = 1U << CAP_SETUID | 1U << CAP_SETGID;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> words{{{wanted, wanted, wanted}, {0, 0, 0}}};
  return prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 && setgid(61999) == 0 && setuid(61999) == 0 &&
         syscall(SYS_capset, &header, words.data()) == 0 &&
         prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SETUID, 0, 0) == 0 &&
         prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SETGID, 0, 0) == 0;
}

const test::Test exact_ids("all four uids and gids and the exact groups are those of the plan", [] {
  EXPECT_EQUAL(output_of(ids),
               "Uid:\t61234\t61234\t61234\t61234\nGid:\t61234\t61234\t61234\t61234\nGroups:\t61234 61235 \n");
});

const test::Test unsorted_groups("groups may come unsorted and more than once", [] {
  auto plan = shell_plan(ids);
  plan.credentials->groups = {70003, 70001, 70003, 70002};
  EXPECT(run(plan).output.ends_with("Groups:\t70001 70002 70003 \n"));
});

const test::Test no_groups("an empty group list leaves none of ours", [] {
  auto plan = shell_plan(ids);
  plan.credentials->groups = {};
  EXPECT(run(plan).output.ends_with("Groups:\t \n"));
});

const test::Test many_groups("the kernel's largest group list works, one more is refused", [] {
  auto plan = shell_plan("id -G | wc -w");
  plan.credentials->groups.clear();
  for (gid_t group = 100000; group < 165536; ++group) plan.credentials->groups.push_back(group);
  EXPECT_EQUAL(run(plan).output, "65537\n");  // id adds the gid itself
  plan.credentials->groups.push_back(165536);
  EXPECT(failed_at(run(plan), Step::plan, EPERM));
});

const test::Test refused_ids("root and the reserved number are refused before the fork", [] {
  const auto refused = [](uid_t uid, gid_t gid, std::vector<gid_t> groups) {
    auto plan = shell_plan("true");
    plan.credentials = {uid, gid, std::move(groups)};
    return failed_at(run(plan), Step::plan, EPERM);
  };
  constexpr auto none = static_cast<uid_t>(-1);
  EXPECT(refused(0, account, {account}));
  EXPECT(refused(none, account, {account}));
  EXPECT(refused(account, 0, {account}));
  EXPECT(refused(account, none, {account}));
  EXPECT(refused(account, account, {none}));
});

const test::Test no_capability_left("no capability is left, ambient ones included",
                                    [] { EXPECT_EQUAL(output_of(capability_sets), no_capabilities); });

const test::Test capable_service("a service account with capabilities launches others, and none of them keeps any", [] {
  EXPECT(in_child([] {
    EXPECT(become_capable_service());
    EXPECT_EQUAL(output_of(capability_sets), no_capabilities);
    EXPECT(output_of(ids).starts_with("Uid:\t61234\t61234\t61234\t61234\n"));
    return true;
  }));
});

const test::Test capable_service_itself("without other credentials the capabilities of a service account go too", [] {
  EXPECT(in_child([] {
    EXPECT(become_capable_service());
    auto plan = shell_plan(capability_sets);
    plan.credentials.reset();
    EXPECT_EQUAL(run(plan).output, no_capabilities);
    return true;
  }));
});

const test::Test root_itself("without other credentials root stays root", [] {
  auto plan = shell_plan("id -u");
  plan.credentials.reset();
  EXPECT_EQUAL(run(plan).output, "0\n");
});

const test::Test without_right("an account without the right to change ids learns which step failed", [] {
  EXPECT(in_child([] {
    EXPECT(setgid(61999) == 0 && setuid(61999) == 0);
    return failed_at(run(shell_plan("true")), Step::groups, EPERM);
  }));
});

const test::Test hardened("hardening keeps the capabilities from other children", [] {
  EXPECT(in_child([] {
    EXPECT(become_capable_service() && !jacamar::harden());
    const auto result = jacamar::capabilities();
    const auto* sets = std::get_if<jacamar::Capabilities>(&result);
    EXPECT(sets != nullptr && sets->ambient == 0 && sets->permitted == 0xc0 && sets->effective == 0xc0);
    EXPECT_EQUAL(output_of(capability_sets), no_capabilities);
    return true;
  }));
});

/// Each line: a call that fails, and the step that must be blamed. Between them they show the order as well.
struct Sabotage {
  long call;
  Step step;
};
constexpr std::array<Sabotage, 10> failing_calls{{
    {SYS_setsid, Step::session},
    {SYS_setgroups, Step::groups},
    {SYS_setresgid, Step::gid},
    {SYS_setresuid, Step::uid},
    {SYS_keyctl, Step::keyring},
    {SYS_capset, Step::capabilities},
    {SYS_capget, Step::proof_capabilities},
    {SYS_getresuid, Step::proof_ids},
    {SYS_getgroups, Step::proof_groups},
    {SYS_execve, Step::program},
}};

const test::Test blames_failing_call("a failing call ends the launch and is blamed by its step", [] {
  for (const auto& [call, step] : failing_calls) {
    EXPECT(in_child([call = call, step = step] {
      return sabotage(call, EDQUOT) && failed_at(run(shell_plan("true")), step, EDQUOT);
    }));
  }
});

/// A kernel, or a filter, that reports success and does nothing is what the proof is for.
constexpr std::array<Sabotage, 4> lying_calls{{
    {SYS_setgroups, Step::proof_groups},
    {SYS_setresgid, Step::proof_ids},
    {SYS_setresuid, Step::proof_ids},
    {SYS_capset, Step::proof_capabilities},
}};

const test::Test disbelieves_lies("a call that claims success without effect is found by the proof", [] {
  for (const auto& [call, step] : lying_calls) {
    EXPECT(in_child([call = call, step = step] {
      if (call == SYS_capset && !become_capable_service()) return false;
      if (call == SYS_capset && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return false;
      return sabotage(call, 0) && failed_at(run(shell_plan("true")), step, ENOTRECOVERABLE);
    }));
  }
});

const test::Test killed_before_exec("a child that is killed on its way is an ended child, not a hang", [] {
  EXPECT(in_child([] {
    std::array<sock_filter, 4> program{{
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_setresuid},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
    }};
    const sock_fprog filter{program.size(), program.data()};
    EXPECT(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0);
    const auto ended = run(shell_plan("true"));
    return std::holds_alternative<pid_t>(ended.launched) && ended.signal == SIGSYS;
  }));
});

}  // namespace
