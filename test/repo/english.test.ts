// Plain English in comments, docstrings, messages, test titles and pages: words and phrases that make a reader decode a sentence.
import t from 'tap'
import ts from 'typescript'
import { DOCS, filesIn, read } from './repository.ts'

/** Each phrase, with what to write instead. */
const BANNED: ReadonlyArray<readonly [phrase: RegExp, instead: string]> = [
  [/\b(?:told|telling|tells)\b|(?<!\bcan |\bcannot )\btell\b/i, 'log, warn, emit, report, return, say, show'],
  [/\bdear(?:er|est)?\b/i, 'expensive, slower'],
  [/\banew\b/i, 'again'],
  [/\bhence\b/i, 'so, because'],
  [/\b(?:who|whom|what)(?:so)?ever\b/i, 'any, every, even if, regardless of'],
  [/\b(?:it|one|that|what|which|who) (?:is|are|was|were) (?:no|none)\b(?! (?:longer|more|other))/i, 'an invalid …, is not a …'],
  [/\b(?:puts?|putting) off\b/i, 'defer'],
  [/\bmade of\b/i, 'created from, consists of'],
  [/\btoday's\b/i, 'current'],
  [/\b(?:doors?|twins?)\b/i, 'the name of the part'],
  [/\b(?:he|him|his|himself)\b/i, 'they, them, their'],
  [/\b(?:is|are) as \S+ (?:is|are|was)\b/i, 'like'],
  [/\bmend(?:s|ed|ing)?\b/i, 'fix'],
  [/\bstands? twice\b/i, 'is there twice']
]

/** The code whose prose is checked. */
const CODE = ['lib', 'test', 'scripts', 'examples', 'types', 'benchmarks'].flatMap((folder) => ['.ts', '.mjs'].flatMap((ending) => filesIn(folder, ending)))

t.test('code: comments, docstrings, messages and test titles use no banned phrase', async (t) => {
  t.ok(CODE.length > 200)
  t.same(CODE.flatMap((file) => proseOf(file).flatMap(({ text, line }) => mistakesIn(text, `${file}:${line}`))), [])
})

t.test('pages: their prose uses no banned phrase', async (t) => {
  t.same(DOCS.flatMap((file) => linesOf(read(file)).flatMap((text, i) => mistakesIn(text, `${file}:${i + 1}`))), [])
})

t.test('the check finds each phrase, but not in code, in parameters or in other words', async (t) => {
  t.equal(mistakesIn('The log is told what is no key. It is put off, whatever he says', 'file').length, 5)
  t.same(linesOf('`told`\n```ts\ntold\n```\n[page](told.md)<!-- told -->').flatMap((text) => mistakesIn(text, 'file')), [])
  t.same(mistakesIn('@param tell the callback; nobody can tell. It is no longer there, then', 'file'), [])
})

function mistakesIn (text: string, place: string): string[] {
  const prose = text.replace(/`[^`]*`|\$\{[^}]*\}|@param \w+/g, '…')
  return BANNED.flatMap(([phrase, instead]) => {
    const found = phrase.exec(prose)
    return found === null ? [] : [`${place}: '${found[0]}'. Better: ${instead}`]
  })
}

/** The lines of a page, with nothing for those in a block of code, and without code, links and comments in the others. */
function linesOf (page: string): string[] {
  let inBlock = false
  return page.split('\n').map((line) => {
    const isFence = /^\s*```/.test(line)
    if (isFence) inBlock = !inBlock
    return inBlock || isFence ? '' : line.replace(/`[^`]*`/g, '…').replace(/\]\([^)]*\)|<!--.*?-->/g, ']')
  })
}

/** The comments of a file, its test titles, and in lib and scripts every text of several words. */
function proseOf (file: string): Array<{ readonly text: string, readonly line: number }> {
  const code = read(file)
  const source = ts.createSourceFile(file, code, ts.ScriptTarget.Latest, true)
  const found = new Map<number, string>()
  const visit = (node: ts.Node): void => {
    for (const { pos, end } of [...ts.getLeadingCommentRanges(code, node.pos) ?? [], ...ts.getTrailingCommentRanges(code, node.end) ?? []]) found.set(pos, code.slice(pos, end).replace(/\n\s*(?:\*|\/\/)/g, ' '))
    if ((ts.isStringLiteralLike(node) || ts.isTemplateExpression(node)) && isProse(node, file)) found.set(node.getStart(), node.getText())
    for (const child of node.getChildren()) visit(child)
  }
  visit(source)
  return [...found].map(([pos, text]) => ({ text, line: source.getLineAndCharacterOfPosition(pos).line + 1 }))
}

function isProse (node: ts.Node, file: string): boolean {
  const { parent } = node
  const isTitle = ts.isCallExpression(parent) && parent.arguments[0] === node && /(?:^|\.)(?:test|it|describe)$/.test(parent.expression.getText())
  return isTitle || (/^(?:lib|scripts)\//.test(file) && /\w \w+ \w/.test(node.getText()))
}
