// What `warploom doctor` says about one thing that it looked at.

/** `missing` is slower or less; `broken` does not work at all. */
export interface Finding {
  readonly what: string;
  readonly state: 'ok' | 'missing' | 'broken';
  readonly found: string;
  readonly fix?: string;
}
