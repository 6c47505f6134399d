// Questions to the hub about nodes. nodes.js asks its own, which follow who comes and goes.

const PATIENCE = 5000 // milliseconds for an answer

// asker returns a function that asks the hub $mesh.nodes, and returns a promise of the answer.
export function asker (client) {
  const waiting = new Map() // by rid: what to do with the answer
  let last = 0

  client.on('$mesh.nodes', answer => answer && waiting.has(answer.rid) && waiting.get(answer.rid)(answer))
  return question => new Promise((resolve, reject) => {
    const rid = 'ask-' + ++last
    const end = answer => {
      clearTimeout(timer)
      waiting.delete(rid)
      if (answer.error) reject(new Error(String(answer.message)))
      else resolve(answer)
    }
    const timer = setTimeout(end, PATIENCE, { error: 'silent', message: 'it does not reply' })
    waiting.set(rid, end)
    try {
      client.emit('$mesh.nodes', { ...question, rid })
    } catch (error) { // there is no hub
      end({ error: 'no-hub', message: 'there is no connection' })
    }
  })
}
