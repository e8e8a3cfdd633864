// The questions, in the order in which they are measured and reported.
export const QUESTIONS = ['requests', 'log-lines', 'awaits', 'reads', 'runs', 'long-lived', 'calls', 'memory', 'keys', 'scopes', 'concurrency']

/** Reads questions by name: all, or some. */
export async function readQuestions (names = QUESTIONS) {
  const unknown = names.filter((name) => !QUESTIONS.includes(name))
  if (unknown.length > 0) throw new Error(`there is no question ${unknown.join(', ')}: choose from ${QUESTIONS.join(', ')}`)
  return await Promise.all(names.map(async (name) => (await import(`./questions/${name}.mjs`)).default))
}
