// What is made of the figures of several rounds, and of several sets of processes.

/** The mean of the three lowest. */
export function lowest (figures) {
  const low = figures.toSorted((a, b) => a - b).slice(0, 3)
  return low.reduce((sum, figure) => sum + figure, 0) / low.length
}

/** The middle one of the sets, and the lowest and highest: the spread. */
export function summary (figures) {
  const sorted = figures.toSorted((a, b) => a - b)
  const half = sorted.length >> 1
  const median = sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2
  return { median, low: sorted[0], high: sorted.at(-1) }
}

/** The same of what is made of several variants, set by set: those of one set were measured in turn. */
export function combined (make, ...variants) {
  return summary(variants[0].map((_, set) => make(...variants.map((figures) => figures[set]))))
}

/** How much one variant costs of another. */
export function ratio (figures, base) {
  return combined((a, b) => a / b, figures, base)
}
