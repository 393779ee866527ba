// Values of which no compiler of TypeScript has seen the type, in messages.

/** A value as a message shows it. */
export const shown = (value: unknown): string =>
  typeof value === 'string' ? `'${value}'` : isObject(value) ? 'an object' : String(value);

export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  (typeof value === 'object' || typeof value === 'function') && value !== null;
