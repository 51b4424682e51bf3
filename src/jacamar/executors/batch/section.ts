// Sections of the GitLab job log. Collapsed ones are for what most readers skip; errors never go into one.

/**
 * Lines of a collapsed section.
 * @param name letters, digits, `_`, `-` and `.`; once per job log
 * @param seconds since 1970, which GitLab turns into the duration of the section
 */
export function collapsedSection(name: string, title: string, lines: readonly string[], seconds: number): string[] {
  const at = Math.floor(seconds);
  return [
    `\u001b[0Ksection_start:${at}:${name}[collapsed=true]\r\u001b[0K${title}`,
    ...lines,
    `\u001b[0Ksection_end:${at}:${name}\r\u001b[0K`,
  ];
}
