<?php
// Judges templates by the rules of Zabbix's own import, without a database: those of the frontend that is installed.
error_reporting(E_ALL & ~E_DEPRECATED & ~E_WARNING & ~E_NOTICE);
$root = '/usr/share/zabbix';
chdir($root);
require_once "$root/vendor/autoload.php";
$folders = [];
foreach (new RecursiveIteratorIterator(new RecursiveDirectoryIterator("$root/include/classes",
		FilesystemIterator::SKIP_DOTS), RecursiveIteratorIterator::SELF_FIRST) as $file) {
	if ($file->isDir()) {
		$folders[] = $file->getPathname();
	}
}
spl_autoload_register(function ($class) use ($folders) {
	foreach ($folders as $folder) {
		if (is_file("$folder/$class.php")) {
			require_once "$folder/$class.php";
			return;
		}
	}
});
foreach (['gettextwrapper', 'defines', 'func', 'items', 'triggers', 'validate', 'actions', 'hosts', 'httptest', 'graphs',
		'maps', 'events', 'services', 'users', 'discovery'] as $name) {
	if (is_file("$root/include/$name.inc.php")) {
		require_once "$root/include/$name.inc.php";
	}
}
try {
	$data = CImportReaderFactory::getReader('yaml')->read(file_get_contents($argv[1]));
	(new CXmlValidator(new CImportValidatorFactory('yaml'), 'yaml'))->setStrict(true)->validate($data, '/');
	echo "valid\n";
}
catch (Throwable $error) {
	echo $error->getMessage(), "\n";
	exit(1);
}
