/**
 * Why a text is no JSON, in the words that etcd's gateway has for it: those of Go's `encoding/json` (scanner.go), which
 * names the first byte that cannot stand where it stands. Only looked at once `JSON.parse` has refused a text.
 */

/** What may come next, outside of a token. */
type Expected = "value" | "value-or-end" | "key" | "key-or-end" | "colon" | "after-value";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const literals: ReadonlyMap<number, string> = new Map(
  ["true", "false", "null"].map((word) => [word.charCodeAt(0), word]),
);

class Refusal extends Error {}

/**
 * The reason why the first value of `text` cannot be read; undefined if there is none. Where `end` is `stream` more bytes
 * could follow, and a text that only stops too early is an unexpected end of file; a `whole` text is all there is, and
 * nothing may stand behind its value.
 */
export function jsonSyntaxError(text: string, end: "stream" | "whole"): string | undefined {
  try {
    new Scanner(text, end).run();
    return undefined;
  } catch (error) {
    if (error instanceof Refusal) return error.message;
    throw error;
  }
}

class Scanner {
  readonly #bytes: Uint8Array;
  readonly #end: "stream" | "whole";
  #at = 0;
  /** The brackets that are open. */
  readonly #open: ("object" | "array")[] = [];

  constructor(text: string, end: "stream" | "whole") {
    // Go tells its scanner of the end by a space: a number or a word that stops too early is refused by it.
    this.#bytes = Buffer.from(end === "whole" ? `${text} ` : text);
    this.#end = end;
  }

  run(): void {
    let expected: Expected = "value";
    for (;;) {
      this.#skipSpace();
      if (expected === "after-value" && this.#open.length === 0) {
        if (this.#end === "whole" && this.#at < this.#bytes.length) this.#refuse("after top-level value");
        return;
      }
      expected = this.#step(expected);
    }
  }

  #step(expected: Expected): Expected {
    const byte = this.#peek();
    const character = String.fromCharCode(byte);
    switch (expected) {
      case "key":
      case "key-or-end":
        if (character === "}" && expected === "key-or-end") return this.#close();
        if (byte !== QUOTE) return this.#refuse("looking for beginning of object key string");
        this.#string();
        return "colon";
      case "colon":
        if (character !== ":") return this.#refuse("after object key");
        this.#at++;
        return "value";
      case "after-value": {
        const isObject = this.#open.at(-1) === "object";
        if (character === (isObject ? "}" : "]")) return this.#close();
        if (character !== ",") return this.#refuse(isObject ? "after object key:value pair" : "after array element");
        this.#at++;
        return isObject ? "key" : "value";
      }
      case "value":
      case "value-or-end":
        if (character === "]" && expected === "value-or-end") return this.#close();
        return this.#value(byte, character);
    }
  }

  #value(byte: number, character: string): Expected {
    if (character === "{" || character === "[") {
      this.#open.push(character === "{" ? "object" : "array");
      this.#at++;
      return character === "{" ? "key-or-end" : "value-or-end";
    }
    if (byte === QUOTE) this.#string();
    else if (character === "-" || isDigit(byte)) this.#number();
    else this.#literal(literals.get(byte) ?? this.#refuse("looking for beginning of value"));
    return "after-value";
  }

  #close(): Expected {
    this.#open.pop();
    this.#at++;
    return "after-value";
  }

  #string(): void {
    this.#at++;
    for (;;) {
      const byte = this.#peek();
      if (byte < 0x20) this.#refuse("in string literal");
      this.#at++;
      if (byte === QUOTE) return;
      if (byte !== BACKSLASH) continue;
      const escaped = String.fromCharCode(this.#peek());
      if (!'bfnrt\\/"u'.includes(escaped)) this.#refuse("in string escape code");
      this.#at++;
      for (let digits = escaped === "u" ? 4 : 0; digits > 0; digits--) {
        if (!/[0-9a-fA-F]/.test(String.fromCharCode(this.#peek()))) this.#refuse("in \\u hexadecimal character escape");
        this.#at++;
      }
    }
  }

  #number(): void {
    if (this.#here() === "-") {
      this.#at++;
      if (!isDigit(this.#peek())) this.#refuse("in numeric literal");
    }
    if (this.#here() === "0") this.#at++;
    else this.#digits();
    if (this.#here() === ".") {
      this.#at++;
      if (!isDigit(this.#peek())) this.#refuse("after decimal point in numeric literal");
      this.#digits();
    }
    if (this.#here() !== "e" && this.#here() !== "E") return;
    this.#at++;
    const sign = String.fromCharCode(this.#peek());
    if (sign === "+" || sign === "-") this.#at++;
    if (!isDigit(this.#peek())) this.#refuse("in exponent of numeric literal");
    this.#digits();
  }

  #digits(): void {
    while (isDigit(this.#bytes[this.#at] ?? 0)) this.#at++;
  }

  #literal(word: string): void {
    for (const character of word) {
      if (String.fromCharCode(this.#peek()) !== character) {
        this.#refuse(`in literal ${word} (expecting '${character}')`);
      }
      this.#at++;
    }
  }

  #skipSpace(): void {
    while ([0x20, 0x09, 0x0a, 0x0d].includes(this.#bytes[this.#at] ?? 0)) this.#at++;
  }

  /** The character here; empty at the end. */
  #here(): string {
    const byte = this.#bytes[this.#at];
    return byte === undefined ? "" : String.fromCharCode(byte);
  }

  /** The byte here, which has to be there. */
  #peek(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) {
      throw new Refusal(this.#end === "stream" ? "unexpected EOF" : "unexpected end of JSON input");
    }
    return byte;
  }

  #refuse(context: string): never {
    throw new Refusal(`invalid character ${quoted(this.#peek())} ${context}`);
  }
}

const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39;

const named: Readonly<Record<number, string>> = {
  0x07: "\\a",
  0x08: "\\b",
  0x09: "\\t",
  0x0a: "\\n",
  0x0b: "\\v",
  0x0c: "\\f",
  0x0d: "\\r",
  0x27: "\\'",
  0x5c: "\\\\",
};

/** A byte as Go quotes it, taken for the character of the same number. */
function quoted(byte: number): string {
  const hex = byte.toString(16);
  const isControl = byte < 0x20 || byte === 0x7f;
  const isUnseen = (byte >= 0x80 && byte <= 0xa0) || byte === 0xad; // the rest of Latin-1 can be printed
  const text =
    named[byte] ?? (isControl ? `\\x${hex.padStart(2, "0")}` : isUnseen ? `\\u00${hex}` : String.fromCharCode(byte));
  return `'${text}'`;
}
