# The addons. `credentials` may change ids and is loaded by jacamar-auth only; `lock` is built apart, so that
# the program of the job's user carries no such code; `seccomp` is the only one that needs libseccomp, and is
# loaded by jacamar-auth where a filter is configured. Launchers and native tests: native/CMakeLists.txt.
{
  'target_defaults': {
    'include_dirs': ['native/support'],
    'defines': ['NAPI_VERSION=8', 'NODE_ADDON_API_CPP_EXCEPTIONS', '_GNU_SOURCE'],
    # Exceptions are for the adapters, which turn them into JavaScript errors; the core throws none.
    'cflags!': ['-fno-exceptions', '-O3'],
    'cflags_cc!': ['-fno-exceptions', '-std=gnu++20', '-std=gnu++17'],
    'cflags_cc': [
      '-std=c++20', '-fexceptions', '-O2', '-g', '-isystem', '<(module_root_dir)/node_modules/node-addon-api',
      '-fvisibility=hidden', '-fvisibility-inlines-hidden', '-fstack-protector-strong', '-fstack-clash-protection',
      '-U_FORTIFY_SOURCE', '-D_FORTIFY_SOURCE=2', '-ffile-prefix-map=<(module_root_dir)=.',
      '-Wall', '-Wextra', '-Wpedantic', '-Wshadow', '-Wconversion', '-Wnon-virtual-dtor', '-Werror',
    ],
    'conditions': [
      ['target_arch=="x64"', { 'cflags_cc': ['-fcf-protection'] }],
      ['target_arch=="arm64"', { 'cflags_cc': ['-mbranch-protection=standard'] }],
    ],
    'ldflags': ['-Wl,-z,relro,-z,now,-z,noexecstack'],
  },
  'targets': [
    {
      'target_name': 'credentials',
      'sources': [
        'native/credentials/account.cc', 'native/credentials/drop.cc', 'native/credentials/launch.cc',
        'native/credentials/syslog.cc', 'native/credentials/addon.cc', 'native/support/older_runtime.cc',
      ],
    },
    { 'target_name': 'lock', 'sources': ['native/lock/addon.cc'] },
    {
      'target_name': 'seccomp',
      'sources': ['native/seccomp/filter.cc', 'native/seccomp/addon.cc', 'native/support/older_runtime.cc'],
      'libraries': ['-lseccomp'],
    },
  ],
}
