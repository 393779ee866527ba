// Text that a kernel has, or does without.

/** The text where the condition holds; else the other one, or none. */
export const when = (condition: boolean, text: string, otherwise = ''): string =>
  condition ? text : otherwise;
