/**
 * Lint rules that the linter does not bring, for traps of this repository.
 * The linter loads this file by itself (see `.oxlintrc.json`, `jsPlugins`); hence the one default export outside configs.
 */

/** The part of ESTree (github.com/estree/estree) that these rules look at. */
interface Node {
  readonly type: string;
  readonly name?: string;
  readonly async?: boolean;
  readonly property?: Node;
  readonly callee?: Node;
  readonly body?: Node | readonly Node[] | null;
  readonly arguments?: readonly Node[];
  readonly source?: Node | null;
}

interface RuleContext {
  report(problem: { readonly node: Node; readonly message: string }): void;
}

interface Rule {
  readonly meta: { readonly type: "problem" };
  create(context: RuleContext): Readonly<Record<string, (node: Node) => void>>;
}

/**
 * `transactionSync(() => db.put(k, v))` returns a promise from the callback, and lmdb then returns before it has committed.
 * A block body returns nothing, so the write is durable when the call returns.
 */
const transactionSyncBlockBody: Rule = {
  meta: { type: "problem" },
  create(context) {
    return {
      CallExpression(node) {
        const name = node.callee?.property?.name ?? node.callee?.name;
        const callback = node.arguments?.[0];
        if (name !== "transactionSync" || callback === undefined) return;
        if (isSynchronousBlock(callback)) return;
        context.report({
          node: callback,
          message:
            "Cannot pass this callback to transactionSync: one that returns a promise makes it return before the commit. Use a synchronous function with a block body",
        });
      },
    };
  },
};

function isSynchronousBlock(callback: Node): boolean {
  const isFunction = callback.type === "ArrowFunctionExpression" || callback.type === "FunctionExpression";
  const { body } = callback;
  const isBlock = body !== undefined && body !== null && "type" in body && body.type === "BlockStatement";
  return isFunction && isBlock && callback.async !== true;
}

/** Only the published entries at the root of `src/` re-export; everyone else imports the file that owns the thing. */
const noReexport: Rule = {
  meta: { type: "problem" },
  create(context) {
    const message =
      "Cannot re-export here: only the published entries at the root of src/ are barrels. Import the file";
    return {
      ExportAllDeclaration(node) {
        context.report({ node, message });
      },
      ExportNamedDeclaration(node) {
        if (node.source !== null && node.source !== undefined) context.report({ node, message });
      },
    };
  },
};

const plugin: { readonly meta: { readonly name: string }; readonly rules: Readonly<Record<string, Rule>> } = {
  meta: { name: "althing" },
  rules: {
    "transaction-sync-block-body": transactionSyncBlockBody,
    "no-reexport": noReexport,
  },
};

export default plugin;
