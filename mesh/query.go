package mesh

import (
	"errors"
)

var errQuestion = errors.New("mesh: the hub did not understand the request")
