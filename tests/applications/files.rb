# File work with the standard library in one folder, told in lines that are the same wherever it is done.
require "fileutils"
require "digest"
require "find"
require "pathname"

BASE = Pathname(ARGV[0])
FileUtils.mkdir_p(BASE)

def say(*words) = puts(words.map { |word| word.is_a?(String) ? word : word.inspect }.join(" "))

def refused(what)
  yield
  say what, "works"
rescue SystemCallError => error
  say what, error.class.name
end

def digest(folder)
  whole = Digest::SHA256.new
  Dir.glob("**/*", base: folder).sort.each do |name|
    path = File.join(folder, name)
    whole << name
    whole << File.binread(path) if File.file?(path)
  end
  whole.hexdigest[0, 16]
end

tree = BASE / "tree"
10.times do |top|
  10.times do |middle|
    folder = tree / "top-#{top}" / "middle-#{middle}"
    folder.mkpath
    20.times { |leaf| (folder / "leaf-#{leaf}.txt").write("#{top}/#{middle}/#{leaf}\n" * (leaf + 1)) }
  end
end
say "tree", Dir.glob("#{tree}/**/*.txt").size, digest(tree)
one = tree / "top-3" / "middle-4" / "leaf-5.txt"
say "one", one.file?, one.directory?, one.size, one.extname, one.relative_path_from(BASE).to_s
File.symlink(one, BASE / "link")
say "link", File.symlink?(BASE / "link"), File.read(BASE / "link") == one.read, File.realpath(BASE / "link") == one.to_s
before = one.stat
File.open(one, "a") { |file| file << "more" }
after = one.stat
say "number stays", before.ino == after.ino, after.size - before.size
refused("mkdir again") { Dir.mkdir(tree) }
refused("rmdir of a full one") { Dir.rmdir(tree) }
refused("open of nothing") { File.open(BASE / "none") }
refused("open of a folder") { File.open(tree, "r+") }
refused("exclusive") { File.open(one, File::WRONLY | File::CREAT | File::EXCL) }
counts = Find.find(tree.to_s).partition { |path| File.directory?(path) }.map(&:size)
say "find", *counts
say "children", Dir.children(tree).sort.first(3), Dir.entries(tree / "top-0").size

FileUtils.cp_r(tree, BASE / "copy")
say "cp_r", digest(BASE / "copy") == digest(tree)
FileUtils.mv(BASE / "copy" / "top-0", BASE / "moved")
say "mv", Dir.children(BASE / "moved").size, File.exist?(BASE / "copy" / "top-0")
FileUtils.rm_r(BASE / "copy")
say "rm_r", File.exist?(BASE / "copy")

File.open(BASE / "seek", "w+b") do |file|
  file.write("0123456789")
  file.seek(3)
  file.write("abc")
  file.seek(-2, IO::SEEK_END)
  say "seek", file.read, file.pos
  file.truncate(5)
  file.seek(20)
  file.write("end")
  file.rewind
  say "hole", file.read
end
File.utime(1_000_000_000, 1_234_567_890, BASE / "seek")
say "utime", File.atime(BASE / "seek").to_i, File.mtime(BASE / "seek").to_i
File.link(BASE / "seek", BASE / "hard")
say "link", File.stat(BASE / "hard").nlink, File.identical?(BASE / "hard", BASE / "seek")
File.rename(BASE / "hard", BASE / "other")
say "rename", File.exist?(BASE / "hard"), File.size(BASE / "other")
["with space", "ünïcödé-日本", "CON", "Case", "case", "a\\b"].each { |name| (BASE / name).write(name) }
say "names", Dir.children(BASE).select { |name| File.file?(BASE / name) }.sort
many = BASE / "many"
Dir.mkdir(many)
3000.times { |number| File.write(many / number.to_s, "") }
say "many", Dir.children(many).size
(0...3000).step(2) { |number| File.rename(many / number.to_s, many / "even-#{number}") }
say "renamed", Dir.glob("even-*", base: many).size
FileUtils.rm_r(many)
block = Digest::SHA256.digest("block") * 2048
File.open(BASE / "large", "wb") { |file| 256.times { file.write(block) } }
say "large", File.size(BASE / "large"), Digest::SHA256.file(BASE / "large").hexdigest[0, 16]
FileUtils.rm_r(BASE)
say "end", File.exist?(BASE)
