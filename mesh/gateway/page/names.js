// matches reports whether a pattern matches an event: * is any one part, ** any number of parts. The patterns come from
// other nodes, so the work is bounded by the product of the numbers of parts.
export function matches (pattern, name) {
  const parts = name.split('::')
  let reached = new Array(parts.length + 1).fill(false) // reached[n]: the pattern so far matches the first n parts of the name
  reached[0] = true
  for (const p of pattern.split('::')) {
    const next = new Array(parts.length + 1).fill(false)
    if (p === '**') next[0] = reached[0]
    for (let i = 0; i < parts.length; i++) {
      next[i + 1] = p === '**' ? reached[i + 1] || next[i] : reached[i] && (p === '*' || p === parts[i])
    }
    reached = next
  }
  return reached[parts.length]
}
