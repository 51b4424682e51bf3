// The filter of system calls as a step of the launch, with filters made by hand; those of libseccomp are tested
// through the addon.

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <vector>

#include "check.hh"
#include "child.hh"

namespace {

using jacamar::Step;
using test::failed_at;
using test::in_child;
using test::run;
using test::shell_plan;

/// Lets every call through but one.
[[nodiscard]] std::vector<sock_filter> filter_on(long call, unsigned answer) {
  return {
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, static_cast<unsigned>(call)},
      {BPF_RET | BPF_K, 0, 0, answer},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  };
}

[[nodiscard]] jacamar::Plan filtered_plan(std::string_view script, long call, unsigned answer) {
  auto plan = shell_plan(script);
  plan.seccomp_filter = filter_on(call, answer);
  plan.no_new_privileges = true;
  return plan;
}

constexpr auto without_uname = "uname >/dev/null 2>&1 || echo refused";

const test::Test in_force("the program runs under the filter of the plan", [] {
  EXPECT_EQUAL(run(shell_plan(without_uname)).output, "");
  EXPECT_EQUAL(run(filtered_plan(without_uname, SYS_uname, SECCOMP_RET_ERRNO | EPERM)).output, "refused\n");
  const auto status = run(filtered_plan("exec grep ^Seccomp: /proc/self/status", SYS_uname, SECCOMP_RET_ALLOW));
  EXPECT_EQUAL(status.output, "Seccomp:\t2\n");
});

const test::Test ours_is_free("the launching process gets no filter", [] {
  EXPECT_EQUAL(run(filtered_plan(without_uname, SYS_uname, SECCOMP_RET_ERRNO | EPERM)).output, "refused\n");
  utsname names{};
  EXPECT(uname(&names) == 0);
});

const test::Test bare("a filter without no_new_privs leaves the program no capability either", [] {
  auto plan = filtered_plan("exec grep -E '^(Uid|Cap(Inh|Prm|Eff|Amb)|NoNewPrivs|Seccomp):' /proc/self/status",
                            SYS_uname, SECCOMP_RET_ERRNO | EPERM);
  plan.no_new_privileges = false;
  EXPECT_EQUAL(run(plan).output,
               "Uid:\t61234\t61234\t61234\t61234\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n"
               "CapEff:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t2\n");
});

const test::Test bare_proof("capabilities that stay with the right to install a filter are found by the proof", [] {
  EXPECT(in_child([] {
    auto filter = filter_on(SYS_capset, SECCOMP_RET_ERRNO | 0);  // claims success
    const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
    EXPECT(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0);
    auto plan = filtered_plan("true", SYS_uname, SECCOMP_RET_ALLOW);
    plan.no_new_privileges = false;
    return failed_at(run(plan), Step::proof_capabilities, ENOTRECOVERABLE);
  }));
});

const test::Test service("an account with the two capabilities cannot install a filter without no_new_privs", [] {
  EXPECT(in_child([] {
    constexpr std::uint32_t both = 1U << CAP_SETUID | 1U << CAP_SETGID;
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, 2> words{{{both, both, both}, {0, 0, 0}}};
    EXPECT(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 && setgid(61999) == 0 && setuid(61999) == 0);
    EXPECT(syscall(SYS_capset, &header, words.data()) == 0);
    auto plan = filtered_plan(without_uname, SYS_uname, SECCOMP_RET_ERRNO | EPERM);
    EXPECT_EQUAL(run(plan).output, "refused\n");
    plan.no_new_privileges = false;
    return failed_at(run(plan), Step::capabilities, EPERM);
  }));
});

const test::Test bad_program("a filter that the kernel does not take is reported with its step", [] {
  auto plan = filtered_plan("true", SYS_uname, SECCOMP_RET_ALLOW);
  plan.seccomp_filter.resize(2);  // runs off its end
  EXPECT(failed_at(run(plan), Step::filter, EINVAL));
  plan.seccomp_filter.assign(BPF_MAXINSNS + 1, sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW});
  EXPECT(failed_at(run(plan), Step::plan, EINVAL));
});

const test::Test no_exec("a filter that refuses exec is reported with the step of exec", [] {
  EXPECT(failed_at(run(filtered_plan("true", SYS_execve, SECCOMP_RET_ERRNO | EACCES)), Step::program, EACCES));
});

const test::Test last_step("a filter does not see the steps before it", [] {
  for (const long call : {SYS_setresuid, SYS_setresgid, SYS_setgroups, SYS_capset, SYS_chdir, SYS_getppid, SYS_prctl}) {
    EXPECT_EQUAL(run(filtered_plan("echo ran", call, SECCOMP_RET_ERRNO | EPERM)).output, "ran\n");
  }
});

}  // namespace
