package report

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// drawn is a plot that stands in a file.
type drawn struct{ title, file string }

// inks are told apart by everybody (Okabe and Ito), also in grey.
var inks = []color.RGBA{
	{0, 114, 178, 255},
	{213, 94, 0, 255},
	{0, 158, 115, 255},
	{204, 121, 167, 255},
	{230, 159, 0, 255},
	{86, 180, 233, 255},
	{0, 0, 0, 255},
}

// Plot draws what the rows that ran give, as SVG files in a folder.
func (r Report) Plot(folder string) ([]drawn, error) {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	var all []drawn
	for _, p := range []struct {
		title, file string
		draw        func(*plot.Plot, *plot.Legend) bool // false: there is nothing to draw
	}{
		{"Throughput: reads", "throughput-reads.svg", r.bars("requests/s", "list", "repeated", "filtered")},
		{"Throughput: writes", "throughput-writes.svg", r.bars("entries/s", "batches", "single")},
		{"Latency at half the maximum rate", "latency.svg", r.latencies},
		{"CPU of a list with its total, by size", "cost.svg", r.lines("cost", "entries in all", "µs of backend CPU")},
		{"Buffers of a page with its total, by size", "buffers.svg", r.lines("buffers", "entries in all", "buffers")},
	} {
		canvas, legend := plot.New(), plot.NewLegend()
		canvas.Title.Text = p.title
		canvas.Title.Padding = vg.Points(8)
		legend.TextStyle.Font.Size, legend.Padding, legend.Left = vg.Points(9), vg.Points(3), true
		if !p.draw(canvas, &legend) {
			continue
		}
		if err := save(canvas, legend, 9*vg.Inch, 4.4*vg.Inch, filepath.Join(folder, p.file)); err != nil {
			return nil, err
		}
		all = append(all, drawn{p.title, p.file})
	}
	return all, nil
}

// legendWidth is the room beside a plot that its lines' names get.
const legendWidth = vg.Length(220)

// fonts are metrically alike, so that text takes the room that was measured wherever the
// plot is looked at.
const fonts = "Arial, Helvetica, Liberation Sans, sans-serif"

// save writes SVG on white ground: a viewer's own may be black.
func save(p *plot.Plot, legend plot.Legend, width, height vg.Length, file string) error {
	canvas := vgsvg.New(width, height)
	whole := draw.New(canvas)
	whole.FillPolygon(color.White, []vg.Point{{}, {X: width}, {X: width, Y: height}, {Y: height}})
	area := draw.Crop(whole, vg.Points(8), -vg.Points(16), vg.Points(8), -vg.Points(8))
	if legend.Top {
		beside := draw.Crop(area, width-legendWidth, 0, 0, -vg.Points(30))
		legend.Draw(beside)
		area = draw.Crop(area, 0, -legendWidth, 0, 0)
	}
	p.BackgroundColor = nil
	p.Draw(area)
	var text bytes.Buffer
	if _, err := canvas.WriteTo(&text); err != nil {
		return err
	}
	return os.WriteFile(file, bytes.ReplaceAll(text.Bytes(), []byte("font-family:Liberation Sans"), []byte("font-family:"+fonts)), 0o644)
}

func (r Report) row(name string) (Result, bool) {
	i := slices.IndexFunc(r.Rows, func(row Result) bool { return row.Name == name })
	if i < 0 {
		return Result{}, false
	}
	return r.Rows[i], true
}

// bars draws the medians of series with a unit, one below the other, ours in a colour of
// their own.
func (r Report) bars(unit string, rows ...string) func(*plot.Plot, *plot.Legend) bool {
	return func(p *plot.Plot, _ *plot.Legend) bool {
		var ticks []plot.Tick
		for _, name := range slices.Backward(rows) {
			row, ran := r.row(name)
			if !ran {
				continue
			}
			for _, s := range slices.Backward(row.Series) {
				if s.Unit != unit {
					continue
				}
				at, value := float64(len(ticks)), s.Median()
				ticks = append(ticks, plot.Tick{Value: at, Label: fmt.Sprintf("%s: %s  %s", name, s.Name, number(value))})
				bar, err := plotter.NewPolygon(plotter.XYs{{X: 0, Y: at - 0.35}, {X: value, Y: at - 0.35}, {X: value, Y: at + 0.35}, {X: 0, Y: at + 0.35}})
				if err != nil {
					return false
				}
				bar.Color, bar.Width = inks[1], 0
				if strings.HasPrefix(s.Name, "service") {
					bar.Color = inks[0]
				}
				p.Add(bar)
			}
		}
		p.X.Label.Text = unit
		p.X.Min, p.X.Tick.Marker = 0, thousands{}
		p.Y.Min, p.Y.Max = -0.6, float64(len(ticks))-0.4
		p.Y.Tick.Marker = plot.ConstantTicks(ticks)
		p.Y.Tick.Length, p.Y.Width = 0, 0
		p.Y.Padding = vg.Points(40) // where none of the fonts is, another takes more room
		return len(ticks) > 0
	}
}

// thousands marks as gonum does, with digits in groups.
type thousands struct{}

// Ticks implements plot.Ticker.
func (thousands) Ticks(low, high float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(low, high)
	for i := range ticks {
		if ticks[i].Label != "" {
			ticks[i].Label = grouped(ticks[i].Value)
		}
	}
	return ticks
}

// powers marks powers of ten, with their digits.
type powers struct{}

// Ticks implements plot.Ticker.
func (powers) Ticks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for power := math.Floor(math.Log10(low)); power <= math.Ceil(math.Log10(high)); power++ {
		at := math.Pow(10, power)
		for n := 1.0; n < 10; n++ {
			tick := plot.Tick{Value: at * n}
			if n == 1 {
				tick.Label = number(at)
			}
			if tick.Value >= low*0.999 && tick.Value <= high*1.001 {
				ticks = append(ticks, tick)
			}
		}
	}
	return ticks
}

// lines draws curves over sizes, both by powers of ten.
func (r Report) lines(name, x, y string) func(*plot.Plot, *plot.Legend) bool {
	return func(p *plot.Plot, legend *plot.Legend) bool {
		p.X.Label.Text, p.Y.Label.Text = x, y
		p.X.Scale = plot.LogScale{}
		sizes := r.curves(p, legend, name, func(x float64) float64 { return x })
		var ticks []plot.Tick
		for _, size := range sizes {
			ticks = append(ticks, plot.Tick{Value: size, Label: grouped(size)})
		}
		p.X.Tick.Marker = plot.ConstantTicks(ticks)
		return len(sizes) > 0
	}
}

// latencies draws percentiles so that each nine takes as much room as the one before.
func (r Report) latencies(p *plot.Plot, legend *plot.Legend) bool {
	p.X.Label.Text, p.Y.Label.Text = "percentile", "ms"
	nines := func(percentile float64) float64 { return -math.Log10(1 - percentile/100) }
	drawn := r.curves(p, legend, "latency", nines)
	var ticks []plot.Tick
	for _, at := range []float64{0, 50, 90, 99, 99.9, 99.99} {
		ticks = append(ticks, plot.Tick{Value: nines(at), Label: fmt.Sprintf("%g", at)})
	}
	p.X.Tick.Marker = plot.ConstantTicks(ticks)
	return len(drawn) > 0
}

// curves draws the lines of a plot over powers of ten and returns where their points are.
func (r Report) curves(p *plot.Plot, legend *plot.Legend, name string, place func(float64) float64) (points []float64) {
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, powers{}
	legend.Top = true
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = color.Gray{225}, color.Gray{225}
	p.Add(grid)
	count := 0
	for _, row := range r.Rows {
		for _, c := range row.Curves {
			if c.Plot != name {
				continue
			}
			points = c.X
			line := make(plotter.XYs, len(c.X))
			for i := range c.X {
				line[i] = plotter.XY{X: place(c.X[i]), Y: max(c.Y[i], 1e-3)}
			}
			path, marks, err := plotter.NewLinePoints(line)
			if err != nil {
				continue
			}
			ink := inks[count%len(inks)]
			path.Color, marks.Color, path.Width = ink, ink, vg.Points(1.5)
			marks.Shape, marks.Radius = draw.CircleGlyph{}, vg.Points(2)
			if count >= len(inks) {
				path.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
			}
			p.Add(path, marks)
			legend.Add(c.Name, path, marks)
			count++
		}
	}
	if count > 0 {
		p.Y.Min, p.Y.Max = math.Pow(10, math.Floor(math.Log10(p.Y.Min))), math.Pow(10, math.Ceil(math.Log10(p.Y.Max)))
	}
	return points
}
