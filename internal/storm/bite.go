package main

import (
	"context"
	"errors"
)

func bite(context.Context, options) error { return errors.New("not yet") }
