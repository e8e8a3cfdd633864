// What test/repo/editor.test.ts asks: what an editor shows of a file that imports fastify-ctx, and what the compiler says.
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Our own strictness, as an outside project could have it; `fastify-ctx` is what is in lib. */
const OPTIONS: ts.CompilerOptions = {
  ...ts.convertCompilerOptionsFromJson((ts.readConfigFile(join(ROOT, 'tsconfig.json'), ts.sys.readFile).config as { compilerOptions: object }).compilerOptions, ROOT).options,
  paths: { 'fastify-ctx': [join(ROOT, 'lib/index.ts')], 'fastify-ctx/*': [join(ROOT, 'lib/*.ts')] }
}

/** What an editor shows where the mouse rests on a name: the type, the text and the examples of the docstring. */
export interface Hover { readonly name: string, readonly type: string, readonly text: string, readonly examples: readonly string[] }

/** A file in memory, open in an editor. In its text `‸` marks places; it is no part of the file. */
export class Editor {
  /** Of its own for each editor: they share what they have read. */
  readonly #file = join(ROOT, `editor-${opened++}.ts`)
  readonly #service: ts.LanguageService
  readonly #places: readonly number[]
  readonly #text: string

  constructor (marked: string) {
    const parts = marked.split('‸')
    this.#text = parts.join('')
    this.#places = parts.slice(1).map((_, i) => parts.slice(0, i + 1).join('').length)
    const snapshots = new Map([[this.#file, ts.ScriptSnapshot.fromString(this.#text)]])
    const read = (name: string): ts.IScriptSnapshot | undefined => {
      const text = snapshots.has(name) ? undefined : ts.sys.readFile(name)
      if (text !== undefined) snapshots.set(name, ts.ScriptSnapshot.fromString(text))
      return snapshots.get(name)
    }
    this.#service = ts.createLanguageService({
      getCompilationSettings: () => OPTIONS,
      getScriptFileNames: () => [this.#file],
      getScriptVersion: () => '1',
      getScriptSnapshot: read,
      getCurrentDirectory: () => ROOT,
      getDefaultLibFileName: ts.getDefaultLibFilePath,
      fileExists: (name) => name === this.#file || ts.sys.fileExists(name),
      readFile: (name) => name === this.#file ? this.#text : ts.sys.readFile(name),
      directoryExists: (name) => name === dirname(this.#file) || ts.sys.directoryExists(name),
      getDirectories: ts.sys.getDirectories,
      realpath: (name) => name === this.#file ? name : ts.sys.realpath!(name)
    }, registry)
  }

  /** What is shown where the mouse rests on the names that begin at the places. */
  hovers (): Hover[] {
    return this.#places.map((place) => {
      const info = this.#service.getQuickInfoAtPosition(this.#file, place)
      return {
        name: /^\w+/.exec(this.#text.slice(place))![0],
        type: ts.displayPartsToString(info?.displayParts),
        text: ts.displayPartsToString(info?.documentation),
        examples: (info?.tags ?? []).filter(({ name }) => name === 'example').map(({ text }) => ts.displayPartsToString(text))
      }
    })
  }

  /** The names that are offered at the first place. */
  offers (): string[] {
    return (this.#service.getCompletionsAtPosition(this.#file, this.#places[0]!, {})?.entries ?? []).map(({ name }) => name)
  }

  /** What the compiler says. */
  complaints (): string[] {
    return [...this.#service.getSyntacticDiagnostics(this.#file), ...this.#service.getSemanticDiagnostics(this.#file)].map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))
  }
}

/** What several editors read is read once. */
const registry = ts.createDocumentRegistry()

let opened = 0
