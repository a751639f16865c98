/** The reference page of error codes, made from the table in `src/base/errors.ts`. */
import { errors } from "../../src/base/errors.ts";

export const errorsPagePath = "docs/reference/errors.md";

const meaning = {
  safe: "Nothing was done, or doing it twice equals doing it once: send the same call again.",
  unsafe: "It may already have been done: look before sending it again, or make the call idempotent.",
  never: "The same call will fail again: change something first.",
} as const;

/** The page's text, with a final line feed. */
export function errorsPage(): string {
  const lines = [
    "# Error codes",
    "",
    "<!-- Written by scripts/generate-errors.ts from src/base/errors.ts; a test compares the two. -->",
    "",
    "Every operating error is an `AlthingError` with a `code` of this table, `details`, and often a `cause`. A failed",
    "assertion is not here: it is a bug, and the node stops. Messages read *Cannot do what: why*.",
    "",
    "`retry` says what the caller may do:",
    "",
    ...Object.entries(meaning).map(([retry, text]) => `- \`${retry}\`: ${text}`),
    "",
    "| Code | Retry | Meaning |",
    "|---|---|---|",
    ...Object.entries(errors).map(([code, { retry, text }]) => `| \`${code}\` | ${retry} | ${text} |`),
  ];
  return `${lines.join("\n")}\n`;
}
